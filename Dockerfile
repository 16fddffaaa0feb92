# docker build -t garmentcut . && docker run --rm -v "$PWD/photos:/photos:ro" -v "$PWD/cutouts:/cutouts" garmentcut
FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir . && rm -rf /app
WORKDIR /
# Not root: cutouts belong to an ordinary user; choose another with `docker run --user`.
USER 1000:1000
ENTRYPOINT ["garmentcut"]
CMD ["cut", "/photos", "--out", "/cutouts"]
