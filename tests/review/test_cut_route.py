import io

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage

from garmentcut.review import cutting


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
