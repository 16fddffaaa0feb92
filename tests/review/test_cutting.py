import asyncio
import base64
import io
import shutil
import socket
import struct
import subprocess
import threading
import zlib

import numpy as np
import pytest
import uvicorn
from PIL import Image
from psd_tools import PSDImage
from starlette.testclient import TestClient

from garmentcut.review import cutting
from garmentcut.review.app import make_app
from garmentcut.review.cutting import CutQueue, CutService, Model
from garmentcut.review.guard import open_access


@pytest.fixture
def photo(review):
    return (review.service.folder.parent / "photos" / "a_Front.png").read_bytes()


def test_a_photo_in_and_a_cutout_out(review, photo):
    answer = review.post("/cut", content=photo)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.content)) as image, Image.open(review.service.folder / "a_Front.png") as cut:
        np.testing.assert_array_equal(np.array(image), np.array(cut))


def test_formats(review, photo):
    mask = review.post("/cut", params={"format": "mask"}, content=photo)
    with Image.open(io.BytesIO(mask.content)) as image:
        assert image.mode == "L"
    psd = review.post("/cut", params={"format": "psd"}, files={"photo": ("Kleid ä.png", photo)})
    assert PSDImage.open(io.BytesIO(psd.content)).size == (64, 96)
    assert psd.headers["content-disposition"] == "attachment; filename*=UTF-8''Kleid%20%C3%A4.psd"
    assert review.post("/cut", params={"format": "exe"}, content=photo).status_code == 422
    in_form = review.post("/cut", files={"photo": ("a.png", photo)}, data={"format": "psd"})
    assert in_form.status_code == 400 and "/cut?format=psd" in in_form.json()["error"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\nxxxx",
        bytes(1000),
        b"\xff\xd8\xff",
    ],
)
def test_what_is_no_photo(review, content):
    answer = review.post("/cut", content=content)
    assert answer.status_code == 415 and answer.json()["error"].startswith("not a photo")


def test_a_form_without_a_file_and_a_torn_one(review):
    assert review.post("/cut", files={}, data={"a": "b"}, headers={"content-type": "multipart/form-data; boundary=x"})
    torn = review.post("/cut", content=b"--x\r\n", headers={"content-type": "multipart/form-data; boundary=x"})
    assert torn.status_code in (400, 415, 422)
    none = review.post("/cut", content=b"abc", headers={"content-type": "multipart/form-data"})
    assert none.status_code in (400, 415, 422) and none.json()["error"]


def test_a_photo_without_a_garment(review):
    file = io.BytesIO()
    Image.new("RGB", (64, 96), (200, 200, 200)).save(file, "PNG")
    answer = review.post("/cut", content=file.getvalue())
    assert answer.status_code == 422 and "no garment" in answer.json()["error"]


def test_too_many_bytes_and_too_many_pixels(review, photo):
    assert review.post("/cut", content=photo, headers={"content-length": "100000001"}).status_code == 413
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    answer = review.post("/cut", content=file.getvalue())
    assert answer.status_code == 413 and "80 megapixels" in answer.json()["error"]


def test_a_photo_that_would_take_too_much_memory_is_refused_by_its_header(review, monkeypatch):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8900, 8900, 8, 6, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    monkeypatch.setattr("garmentcut.photo.photo._process_memory", lambda: 3_000_000_000)
    answer = review.post("/cut", content=png)
    assert answer.status_code == 413 and "more memory" in answer.json()["error"]


def test_no_room_in_the_queue(review, photo, monkeypatch):
    monkeypatch.setattr(cutting, "MAX_WAITING", 0)
    answer = review.post("/cut", content=photo)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0


def test_a_program_needs_no_token_on_this_machine(review, photo):
    assert review.post("/cut", content=photo, headers={"x-garmentcut-token": ""}).status_code == 200


def test_health(review):
    assert review.get("/healthz").json() == {"status": "ok"}
    review.service.model.cutter(), review.service.model.tiles()
    assert review.get("/readyz").json() == {"status": "ready"}
    review.service.close()
    assert review.get("/readyz").status_code == 503


TOKEN = "twelve characters and more"


@pytest.fixture
def serve(red_cutter):  # noqa: ARG001 - so that no server loads a model file
    """serve(token=None, host="127.0.0.1"): a client of a server without a batch."""
    clients = []

    def start(*, token=None, host="127.0.0.1"):
        service = CutService(Model(), open_access(None, host, 8321, token))
        service.open()
        clients.append(TestClient(make_app(service), base_url="http://127.0.0.1:8321").__enter__())
        return clients[-1]

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def picture(draw, tmp_path):
    """The bytes of a photo that no batch knows."""
    return draw(tmp_path / "elsewhere" / "dress.png").read_bytes()


def opened(answer):
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_as_removebgs_and_rembgs_documentation_calls_it(red_cutter, picture, tmp_path):  # noqa: ARG001
    (tmp_path / "dress.png").write_bytes(picture)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = make_app(CutService(Model(), open_access(None, "127.0.0.1", listening.getsockname()[1], TOKEN)))
        server = uvicorn.Server(uvicorn.Config(app, ws="none", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()

        def curl(*options):
            command = ["curl", "-s", "-f", "--retry", "5", "--retry-connrefused", "--max-time", "60", *options]
            return subprocess.run(command, cwd=tmp_path, check=False).returncode

        key, form = f"X-Api-Key: {TOKEN}", ["-F", "image_file=@dress.png", "-F", "size=auto"]
        try:
            assert curl("-H", key, *form, f"{address}/v1.0/removebg", "-o", "no-bg.png") == 0
            assert curl("-H", key, "-F", "file=@dress.png", f"{address}/api/remove", "-o", "rembg.png") == 0
            assert curl("-H", "X-Api-Key: another", *form, f"{address}/v1.0/removebg") == 22  # an HTTP error
        finally:
            server.should_exit = True
            thread.join(20)
    for name in ("no-bg.png", "rembg.png"):
        with Image.open(tmp_path / name) as image:
            assert (image.mode, image.size) == ("RGBA", (64, 96))


def removebg(client, photo, key="", **fields):
    """As remove.bg's own examples ask, with httpx."""
    files = {"image_file": ("dress.png", photo, "image/png")}
    return client.post("/v1.0/removebg", files=files, data=fields, headers={"X-Api-Key": key or "what it was before"})


def test_a_client_of_removebg(serve, picture):
    answer = removebg(serve(), picture, size="auto")
    image = opened(answer)
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (64, 96))
    assert np.array(image)[45, 30].tolist() == [255, 0, 0, 255] and np.array(image)[5, 5, 3] == 0
    assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("fields", "format", "mode", "size"),
    [
        ({"format": "jpg", "bg_color": "81d4fa"}, "JPEG", "RGB", (64, 96)),
        ({"format": "webp", "size": "full"}, "WEBP", "RGBA", (64, 96)),
        ({"channels": "alpha"}, "PNG", "L", (64, 96)),
        ({"crop": "true", "crop_margin": "2px"}, "PNG", "RGBA", (28, 54)),
        ({"bg_color": "green"}, "PNG", "RGB", (64, 96)),
    ],
)
def test_what_removebg_may_be_asked_for(serve, picture, fields, format, mode, size):
    image = opened(removebg(serve(), picture, **fields))
    assert (image.format, image.mode, image.size) == (format, mode, size)
    if color := {"81d4fa": (129, 212, 250), "green": (0, 128, 0)}.get(fields.get("bg_color", "")):
        assert np.abs(np.array(image)[5, 5].astype(int) - color).max() <= 3


def test_a_preview_is_small(serve, monkeypatch, picture):
    monkeypatch.setitem(cutting._SIZES_MP, "preview", 0.001)
    image = opened(removebg(serve(), picture, size="preview"))
    assert image.size == (25, 38)
    assert np.array(image)[18, 12].tolist() == [255, 0, 0, 255]


def test_other_bodies_that_removebg_takes(serve, picture):
    client, text = serve(), base64.b64encode(picture).decode()
    assert opened(client.post("/v1.0/removebg", data={"image_file_b64": text})).size == (64, 96)
    answer = client.post("/v1.0/removebg", json={"image_file_b64": text}, headers={"accept": "application/json"})
    assert base64.b64decode(answer.json()["data"]["result_b64"]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image_url": "https://example.com/a.jpg"}, "image_url is not supported"),
        ({"format": "zip"}, "format 'zip' is not known"),
        ({"size": "huge"}, "size 'huge' is not known"),
        ({"bg_color": "nonsense"}, "bg_color: 'nonsense' is not a colour"),
        ({"bg_color": "81d4fa77"}, "semi-transparent"),
        ({"bg_color": "rgb(300,0,0)"}, "bg_color: 'rgb(300,0,0)' is not a colour"),
        ({"bg_color": "hsv(0,100%,999%)"}, "is not a colour"),
        ({"crop": "true", "crop_margin": "10%"}, "crop_margin: a number of pixels"),
    ],
)
def test_what_removebg_can_do_and_this_cannot(serve, picture, fields, reason):
    answer = removebg(serve(), picture, **fields)
    assert answer.status_code == 400 and reason in answer.json()["errors"][0]["title"]


def test_a_request_of_removebg_for_an_address_alone_is_refused_by_that_name(serve):
    answer = serve().post("/v1.0/removebg", data={"image_url": "https://example.com/a.jpg", "size": "auto"})
    assert answer.status_code == 400 and answer.json()["error"] == "image_url is not supported"


def test_every_error_has_a_code(serve, picture):
    """Whoever noticed it: the guard, the framework or a route."""
    client, files = serve(), {"photo": ("dress.png", picture)}
    answers = {
        "bad_request": client.get("/cut"),
        "unfit": client.post("/cut?format=gif", content=picture),
        "not_a_photo": client.post("/cut", content=b""),
        "forbidden": client.post("/cut", content=picture, headers={"origin": "http://other.example"}),
        "too_large": client.post("/cut", content=picture, headers={"content-length": "999999999"}),
        "not_found": client.get("/static/none.js"),
        "no_token": serve(token=TOKEN).post("/cut", files=files),
    }
    assert {code: answer.json()["code"] for code, answer in answers.items()} == {code: code for code in answers}
    assert "empty" in answers["not_a_photo"].json()["error"]


def test_errors_are_in_removebgs_form(serve):
    answer = removebg(serve(), b"no photo")
    assert answer.status_code == 400 and answer.json()["errors"][0]["title"].startswith("not a photo")
    answer = removebg(serve(token=TOKEN), b"", key="another key")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "auth_failed")


def test_a_client_of_rembg(serve, picture):
    client, files = serve(), {"file": ("dress.png", picture)}
    image = opened(client.post("/api/remove", files=files))
    assert (image.mode, image.size) == ("RGBA", (64, 96))
    assert opened(client.post("/api/remove", files=files, data={"om": "true", "model": "u2net"})).mode == "L"
    laid = opened(client.post("/api/remove", files=files, data={"bgc": "0,128,0,255", "a": "true"}))
    assert np.array(laid)[5, 5, :3].tolist() == [0, 128, 0]
    for wrong in ({"bgc": "red"}, {"bgc": "1,2,3,4"}, {"bgc": f"{'9' * 5000},0,0,255"}):
        assert client.post("/api/remove", files=files, data=wrong).status_code == 400
    assert client.post("/api/remove", files={}, data={"om": "true"}).status_code == 415


@pytest.mark.parametrize("path", ["/cut", "/v1.0/removebg", "/api/remove"])
def test_the_key_is_the_token(serve, picture, path):
    client, files = serve(token=TOKEN, host="0.0.0.0"), {"image_file": ("dress.png", picture)}
    assert client.post(path, files=files).status_code in (401, 403)
    assert client.post(path, files=files, headers={"X-Api-Key": "wrong"}).status_code in (401, 403)
    assert client.post(path, files=files, headers={"X-Api-Key": TOKEN}).status_code == 200
    assert client.post(path, files=files, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    named = {"X-Api-Key": TOKEN, "host": "cutter.studio.example"}  # a name of the network's, which only they know
    assert client.post(path, files=files, headers=named).status_code == 200


@pytest.mark.parametrize("path", ["/cut", "/v1.0/removebg", "/api/remove"])
def test_a_page_of_another_site_cannot_have_photos_cut(serve, picture, path):
    headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert serve().post(path, files={"file": ("a.png", picture)}, headers=headers).status_code == 403


def test_without_a_batch_there_is_no_page(serve):
    client = serve()
    client.app.app.state.service.model.cutter()
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/").status_code == client.get("/api/photos").status_code == 404
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/cut", "/v1.0/removebg", "/api/remove", "/healthz", "/readyz"}


@pytest.fixture
def queue(review):
    return CutQueue(review.service.model)


async def trickle(start, rest):
    yield start
    await rest.wait()
    yield b"end"


async def upload(queue, start, rest):
    async with queue.upload(trickle(start, rest)) as body:
        return body


def test_the_slowest_body_gives_way_where_too_many_come(queue, run_async, monkeypatch):
    monkeypatch.setattr(cutting, "MAX_UPLOADS", 2)
    monkeypatch.setattr(cutting, "UNJUDGED_S", 0.005)

    async def run():
        rest = asyncio.Event()
        tasks = []
        for start in (b"fast" * 1000, b"s", b"new" * 1000):
            tasks.append(asyncio.create_task(upload(queue, start, rest)))
            await asyncio.sleep(0.01)
        rest.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    fast, slow, new = run_async(run())
    assert fast == b"fast" * 1000 + b"end" and new == b"new" * 1000 + b"end"
    assert slow.code == "queue_full" and "this one is slow" in str(slow)
    assert not queue._uploads


def test_all_bodies_together_take_so_many_bytes(queue, run_async, monkeypatch):
    monkeypatch.setattr(cutting, "MAX_BYTES", 1000)

    async def run():
        rest = asyncio.Event()
        first = asyncio.create_task(upload(queue, b"x" * 900, rest))
        await asyncio.sleep(0.01)
        second = await asyncio.gather(upload(queue, b"x" * 200, rest), return_exceptions=True)
        rest.set()
        return await first, second[0], await upload(queue, b"x" * 900, rest)

    first, second, third = run_async(run())
    assert len(first) == len(third) == 903
    assert second.code == "queue_full"
    assert not queue._uploads


def test_a_slow_body_that_is_too_much_with_its_last_part_is_to_be_sent_again(queue, run_async, monkeypatch):
    """Before, it was given up for room and then taken for an empty one: `not a photo`."""
    monkeypatch.setattr(cutting, "MAX_BYTES", 1000)
    monkeypatch.setattr(cutting, "UNJUDGED_S", 0.005)

    async def run():
        rest = asyncio.Event()
        task = asyncio.create_task(upload(queue, b"x" * 999, rest))
        await asyncio.sleep(0.01)
        rest.set()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert run_async(run()).code == "queue_full"
