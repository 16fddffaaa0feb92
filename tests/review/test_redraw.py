import base64
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from garmentcut.errors import ModelError
from garmentcut.photo.photo import Photo
from garmentcut.review.redraw import Canvas, Stroke, redraw


class BlindTiles:
    """A model that sees nothing but gray."""

    def predict(self, _photo, box_xyxy):
        left, top, right, bottom = box_xyxy
        return np.full((bottom - top, right - left), 0.5, np.float32)


class WrongTiles(BlindTiles):
    """A model that takes everything for background."""

    def predict(self, *args):
        return super().predict(*args) * 0.0


BOX = (60, 40, 140, 120)


@pytest.fixture
def scene():
    """A dress whose right edge, at column 100, runs through the box; and a stroke along it."""
    rng = np.random.default_rng(0)
    truth = np.zeros((160, 200), np.uint8)
    truth[:, 20:100] = 255
    rgb = np.where(truth[..., None] > 0, (150, 40, 60), (190, 188, 185)) + rng.normal(0, 6, (160, 200, 3))
    stroke = np.zeros((80, 80), np.uint8)
    stroke[8:72, 16:64] = 255
    return Photo(rgb.clip(0, 255).astype(np.uint8)), truth, stroke


def error(alpha, truth):
    left, top, right, bottom = BOX
    return np.abs(alpha.astype(float) - truth[top:bottom, left:right])[8:72, 16:64].mean() / 255


def drawn(photo, current, stroke, *, predicted=None, tiles=None, hint="auto"):
    left, top, right, bottom = BOX
    canvas = Canvas(photo, current if predicted is None else predicted, current)
    return redraw(canvas, Stroke(BOX, stroke, current[top:bottom, left:right], hint), tiles or BlindTiles())


@pytest.mark.parametrize("edge", [85, 118])
def test_an_edge_in_the_wrong_place_is_found_by_the_colours_beside_it(scene, edge):
    photo, truth, stroke = scene
    damaged = truth.copy()
    damaged[48:112, 76:124] = 0
    damaged[48:112, 76:edge] = 255
    before = damaged[40:120, 60:140]
    after = drawn(photo, damaged, stroke)
    assert error(before, truth) > 0.3
    assert error(after, truth) < 0.03


def test_nothing_changes_outside_the_stroke(scene):
    photo, truth, stroke = scene
    damaged = np.roll(truth, 15, axis=1)
    after = drawn(photo, damaged, stroke)
    np.testing.assert_array_equal(after[stroke == 0], damaged[40:120, 60:140][stroke == 0])
    assert (after != damaged[40:120, 60:140]).any()
    np.testing.assert_array_equal(drawn(photo, damaged, np.zeros_like(stroke)), damaged[40:120, 60:140])


def test_a_soft_brush_mixes(scene):
    photo, truth, stroke = scene
    damaged = np.roll(truth, -15, axis=1)
    was, hard = damaged[40:120, 60:140], drawn(photo, damaged, stroke).astype(int)
    soft = drawn(photo, damaged, np.where(stroke > 0, 128, 0).astype(np.uint8)).astype(int)
    inside = stroke > 0
    np.testing.assert_allclose((soft - was)[inside], (hard - was)[inside] * 128 / 255, atol=1)


def test_adding_takes_nothing_away_and_taking_away_adds_nothing(scene):
    photo, truth, stroke = scene
    was = truth[40:120, 60:140].astype(int)
    assert (drawn(photo, truth, stroke, hint="add", tiles=WrongTiles()).astype(int) >= was).all()
    assert (drawn(photo, truth, stroke, hint="subtract").astype(int) <= was).all()


def test_a_hint_decides_where_colours_and_model_do_not(scene):
    _, truth, stroke = scene
    plain = Photo(np.full((*truth.shape, 3), 128, np.uint8))
    half = np.full_like(truth, 128)
    half[:, :50], half[:, 150:] = 255, 0
    added, taken = (drawn(plain, half, stroke, hint=hint) for hint in ("add", "subtract"))
    assert added[stroke > 0].mean() > 200 and taken[stroke > 0].mean() < 55


def test_the_model_is_heard_where_colours_do_not_tell(scene):
    _, truth, stroke = scene
    plain = Photo(np.full((*truth.shape, 3), 128, np.uint8))

    class TrueTiles:
        def predict(self, *_):
            return truth[40:120, 60:140] / np.float32(255)

    damaged = truth.copy()
    damaged[48:112, 76:115] = 255
    after = drawn(plain, damaged, stroke, predicted=truth, tiles=TrueTiles())
    assert error(after, truth) < error(damaged[40:120, 60:140], truth) / 5


def test_where_all_around_is_background_colours_say_nothing(scene):
    photo, truth, stroke = scene
    nothing = np.zeros_like(truth)
    after = drawn(photo, nothing, stroke, predicted=truth)
    assert np.isfinite(after).all() and after[stroke > 0].max() > 200


class TestRoute:
    def post(self, client, item, png, *, box=(10, 10, 40, 60), stroke=None, **more):
        size = max(box[3] - box[1], 1), max(box[2] - box[0], 1)
        alpha = np.zeros(size, np.uint8)
        stroke = np.full(size, 255, np.uint8) if stroke is None else stroke
        texts = {"stroke": base64.b64encode(png(stroke)).decode(), "alpha": base64.b64encode(png(alpha)).decode()}
        body = {"box_xyxy": box, **texts, **more}
        return client.post(f"/api/photos/{item['id']}/redraw", json=body)

    @pytest.fixture
    def item(self, review):
        return review.get("/api/photos").json()["items"][1]

    def test_the_edge_comes_back(self, review, item, png, gray):
        with Image.open(review.service.folder / "a_Front.png") as image:
            true = np.array(image)[10:60, 10:40, 3]
        stroke = np.zeros((50, 30), np.uint8)
        stroke[5:45, 3:27] = 255
        answer = self.post(review, item, png, stroke=stroke)
        assert answer.status_code == 200
        redrawn = gray(answer.json()["alpha"])
        assert answer.json()["box_xyxy"] == [10, 10, 40, 60]
        assert np.abs(redrawn.astype(float) - true)[stroke > 0].mean() < 5
        assert not redrawn[stroke == 0].any()
        assert review.get("/api/photos").json()["items"][1]["version"] == item["version"]

    @pytest.mark.parametrize("box", [(0, 0, 65, 10), (10, 10, 10, 20), (5, 5, 3, 3)])
    def test_a_box_that_is_not_in_the_photo(self, review, item, png, box):
        assert self.post(review, item, png, box=box, stroke=np.zeros((2, 2), np.uint8)).status_code == 422

    def test_pictures_that_do_not_fit(self, review, item, png):
        assert self.post(review, item, png, stroke=np.zeros((3, 3), np.uint8)).status_code == 422
        assert self.post(review, item, png, hint="more").status_code == 422
        answer = review.post(
            f"/api/photos/{item['id']}/redraw",
            json={"box_xyxy": [0, 0, 2, 2], "stroke": "data:image/png;base64,xx", "alpha": ""},
        )
        assert (answer.status_code, answer.json()["error"]) == (422, "stroke: not base64")

    def test_a_model_that_cannot_be_loaded_is_told_to_the_page(self, review, item, png, monkeypatch):
        """Before, the answer was 503: the page tried again for ever, and said that the server did not respond."""
        monkeypatch.setattr(review.service.model, "tiles", Mock(side_effect=ModelError("gone.onnx: no such file")))
        answer = self.post(review, item, png)
        assert (answer.status_code, answer.json()) == (500, {"error": "gone.onnx: no such file", "code": "model"})

    def test_too_many_strokes_are_told_to_wait(self, review, item, png):
        tiles = review.service.model.tiles()
        for _ in range(4):
            assert tiles._room.acquire(blocking=False)
        answer = self.post(review, item, png)
        assert answer.status_code == 503 and answer.headers["retry-after"]
