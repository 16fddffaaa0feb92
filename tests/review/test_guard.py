import asyncio
import json
import struct
import zlib

import numpy as np
import pytest
from starlette.responses import Response

from garmentcut.review import guard
from garmentcut.review.guard import POLICY

OTHER = "http://127.0.0.1:9999"


def accept(client, headers=None, **options):
    item = client.get("/api/photos").json()["items"][0]
    body = {"version": item["version"], "action": "accept"}
    return client.post(f"/api/photos/{item['id']}/decision", json=body, headers=headers, **options)


@pytest.mark.parametrize("host", ["evil.example:8321", "127.0.0.1:80", "localhost", "127.0.0.1.evil.example:8321", ""])
def test_another_host_is_refused(review, host):
    assert review.get("/api/photos", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8321", "localhost:8321", "[::1]:8321", "LOCALHOST:8321"])
def test_names_of_this_machine_do(review, host):
    assert review.get("/api/photos", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("address", "port", "host"),
    [("127.0.0.1", 80, "127.0.0.1"), ("::1", 80, "[::1]"), ("127.0.0.2", 8321, "127.0.0.2:8321")],
)
def test_the_address_that_the_server_prints_is_its_own(address, port, host):
    """Browsers leave port 80 out of the name."""
    guard.open_access(None, address, port, None).check("GET", "/", {"host": host}, "")


def test_writing_needs_the_pages_token(review):
    assert accept(review, {"x-garmentcut-token": ""}).status_code == 403
    assert accept(review, {"x-garmentcut-token": "0" * 64}).status_code == 403
    assert accept(review, {"x-garmentcut-token": b"\xfc"}).status_code == 403
    assert accept(review).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": OTHER}, {"origin": "null"}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}],
)
def test_another_site_cannot_write_even_with_the_token(review, headers):
    assert accept(review, headers).status_code == 403
    assert review.post("/cut", content=b"x", headers=headers).status_code == 403


def test_the_own_page_can(review):
    headers = {"origin": "http://127.0.0.1:8321", "sec-fetch-site": "same-origin"}
    assert accept(review, headers).status_code == 200


def test_every_answer_has_its_headers(review):
    for path in ("/api/photos", "/media/1/thumbnail.jpg", "/docs", "/static/docs.css", "/nothing", "/api/photos/99"):
        headers = review.get(path).headers
        assert headers["content-security-policy"] == POLICY, path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
    assert "server" not in review.get("/docs").headers


def test_pictures_are_kept_where_their_address_says_their_content(review):
    url = review.get("/api/photos").json()["items"][0]["urls"]["alpha"]
    answer = review.get(url)
    assert "immutable" in answer.headers["cache-control"]
    again = review.get(url, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "no-cache" in review.get(url.partition("?")[0]).headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2fconfig.py",
        "/static//etc/passwd",
        "/static/docs.css%00.png",
        "/media/../../etc/passwd",
        "/media/1/..%2f..%2freview.sqlite",
        "/media/1%2f..%2f2/alpha.png",
        "/media/-1/alpha.png",
        "/media/99999999999999999999/alpha.png",
        "/photos/..%2f..%2fetc%2fpasswd",
    ],
)
def test_no_way_out_of_the_folders(review, path):
    # As the bytes stand: a client library would tidy the path up.
    answer = review.get("http://127.0.0.1:8321/docs")
    assert answer.status_code == 200
    request = review.build_request("GET", "http://127.0.0.1:8321/docs")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = review.send(request)
    assert answer.status_code in (400, 404, 422), path
    assert b"root:" not in answer.content and b"SQLite format" not in answer.content


def test_a_declared_length_over_the_limit_is_refused_unread(review):
    headers = {"content-length": "99000000000", "content-type": "application/json"}
    answer = accept(review, headers)
    assert answer.status_code == 413 and "too large" in answer.json()["error"]


def test_a_body_that_grows_over_the_limit_is_refused(review):
    def endless():
        for _ in range(100):
            yield b" " * 10_000

    item = review.get("/api/photos").json()["items"][0]
    answer = review.post(
        f"/api/photos/{item['id']}/decision", content=endless(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert review.get("/api/photos").json()["items"][0]["version"] == 1


def test_a_png_that_would_fill_the_memory_is_refused_by_its_header(review, png):
    bomb = bytearray(png(np.zeros((96, 64), np.uint8)))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    item = review.get("/api/photos").json()["items"][0]
    answer = review.put(f"/api/photos/{item['id']}/alpha?version=1", content=bytes(bomb))
    assert answer.status_code == 422 and "60000x60000" in answer.json()["error"]


def test_rows_beyond_the_header_are_not_unpacked(review):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 96, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes(200_000_000), 9)  # 200 MB of zeros in 200 kB
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    item = review.get("/api/photos").json()["items"][0]
    answer = review.put(f"/api/photos/{item['id']}/alpha?version=1", content=bomb)
    assert answer.status_code in (200, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 1}',
        b'{"version": 1, "action": "delete"}',
        b'{"version": "x", "action": "accept"}',
        b'{"version": 1, "action": "accept", "seconds": NaN}',
        b'{"version": 1, "action": "accept", "more": 1}',
        b"[" * 30_000,
        json.dumps({"version": 1, "action": "accept", "note": "x" * 2001}).encode(),
        b"\xff\xfe",
    ],
)
def test_nonsense_is_refused_with_a_sentence(review, body):
    item = review.get("/api/photos").json()["items"][0]
    answer = review.post(
        f"/api/photos/{item['id']}/decision", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert len(answer.json()["error"]) > 3


class TestToken:
    TOKEN = "a-token-of-the-studio"

    @pytest.fixture
    def review(self, cut_batch, open_review):
        return open_review(cut_batch(), token=self.TOKEN, host="0.0.0.0")

    def test_without_it_nothing_is_reported(self, review):
        assert review.get("/api/photos").status_code == 401
        assert review.get("/media/1/alpha.png").status_code == 401
        assert review.get("/static/docs.css").status_code == 401
        assert accept_blindly(review).status_code == 401
        assert review.post("/cut", content=b"x").status_code == 401
        assert review.get("/openapi.json").status_code == 401
        assert review.get("/healthz").status_code == 200

    def test_a_wrong_one_does_not_do(self, review):
        assert review.get("/api/photos", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert review.get("/", params={"token": "wrong"}, follow_redirects=False).status_code == 401

    def test_the_link_sets_a_cookie_that_pages_of_other_sites_cannot_use(self, review):
        answer = review.get("/", params={"token": self.TOKEN}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and self.TOKEN not in cookie
        assert review.get("/api/photos").status_code == 200
        assert accept(review).status_code == 200
        assert accept(review, {"x-garmentcut-token": "no"}).status_code == 403

    @pytest.mark.parametrize(
        "query", ["notoken=1", "token=", "token=wrong&token=", "view=token%3D", "TOKEN=x", "a=1&" * 50]
    )
    def test_something_like_a_token_does_not_do(self, review, query):
        assert review.get(f"/?{query}", follow_redirects=False).status_code == 401

    def test_a_program_brings_it_in_a_header(self, review):
        headers = {"authorization": f"Bearer {self.TOKEN}", "x-garmentcut-token": ""}
        item = review.get("/api/photos", headers=headers).json()["items"][0]
        body = {"version": 1, "action": "accept"}
        assert review.post(f"/api/photos/{item['id']}/decision", json=body, headers=headers).status_code == 200

    @pytest.mark.parametrize(("host", "status"), [("192.168.1.7:8321", 200), ("evil.example:8321", 400)])
    def test_addresses_may_be_used_and_strange_names_not(self, review, host, status):
        headers = {"host": host, "authorization": f"Bearer {self.TOKEN}"}
        assert review.get("/api/photos", headers=headers).status_code == status


def accept_blindly(client):
    return client.post("/api/photos/1/decision", json={"version": 1, "action": "accept"})


def test_the_secret_is_the_users_own_and_outlives_the_server(cut_batch, open_review):
    folder = cut_batch()
    first = open_review(folder).service.access
    secret = folder / ".garmentcut" / "review.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert open_review(folder).service.access.page_token == first.page_token
    assert first.page_token not in secret.read_text()


@pytest.mark.parametrize(("num_parts", "wait_s", "status"), [(3, 0.0, 200), (3, 0.3, 408)])
def test_a_body_must_not_stall(run_async, monkeypatch, num_parts, wait_s, status):
    monkeypatch.setattr(guard, "STALL_S", 0.1)
    answered = []

    async def app(_scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        answered.append(message.get("status"))

    async def ask():
        parts = iter(range(num_parts))

        async def receive():
            number = next(parts)
            await asyncio.sleep(wait_s if number else 0)
            return {"type": "http.request", "body": b"x", "more_body": number < num_parts - 1}

        access = guard.Access("secret", "127.0.0.1", 1)
        headers = [(b"host", b"127.0.0.1:1")]
        scope = {"type": "http", "method": "POST", "path": "/cut", "headers": headers, "query_string": b""}
        await guard.Guard(app, access, lambda *_: 100, lambda _, error: Response(status_code=error.status))(
            scope, receive, send
        )

    run_async(ask())
    assert answered[0] == status
