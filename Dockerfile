# docker build -t garmentcut . && docker run --rm -v "$PWD/photos:/photos:ro" -v "$PWD/cutouts:/cutouts" garmentcut
# The review page, metrics: docker build --build-arg EXTRAS=web,observe ...; all together: deploy/compose.yaml
FROM python:3.12-slim
ARG EXTRAS=""
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY recipes ./recipes
RUN pip install --no-cache-dir ".${EXTRAS:+[$EXTRAS]}" && rm -rf /app
WORKDIR /
# Not root: cutouts belong to an ordinary user; choose another with `docker run --user`.
USER 1000:1000
# As the first process of a container, Python hears a SIGTERM only where it listens for it: `cut --watch` and `review` do.
STOPSIGNAL SIGTERM
ENTRYPOINT ["garmentcut"]
CMD ["cut", "/photos", "--out", "/cutouts"]
