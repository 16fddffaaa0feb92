import numpy as np
import pytest

from garmentcut.config import CutConfig, RuntimeConfig
from garmentcut.export.card import ExportError
from garmentcut.export.cascade import crop_shapes, export_cascade, garment_range
from garmentcut.model.card import card_of
from garmentcut.photo.photo import PhotoError
from garmentcut.prediction.cutter import Cutter
from garmentcut.synthetic import draw_studio_photo

BOXES = [(10, 10, 300, 500), (100, 50, 420, 900), (5, 200, 600, 700), (80, 80, 300, 380)]


def test_both_networks_are_in_the_one_file(exported, tmp_path):
    content = export_cascade(exported, exported, boxes_xyxy=BOXES, margin_px=64, frame_hw=(1728, 1152))
    card = card_of(content)
    assert card.working_size_hw == (1728, 1152)
    assert card.first_look.size_hw == card_of(exported).working_size_hw
    assert card.first_look.margin_px == 64
    assert card.first_look.trained_on == ("0123456789ab",)
    path = tmp_path / "both.onnx"
    path.write_bytes(content)
    for backend in ("openvino", "onnxruntime"):
        cutter = Cutter.load(path, config=RuntimeConfig(backend=backend, threads=1))
        rgb = np.zeros((96, 96, 3), np.uint8)
        assert np.abs(cutter.first(rgb) - cutter.runtime(rgb)).max() < 0.6
        assert cutter.first(rgb).shape == cutter.runtime(rgb).shape == (96, 96)
    fast = Cutter.load(path, config=RuntimeConfig(threads=1), cut=CutConfig(effort="fast"))
    shot = draw_studio_photo(0, size_hw=(216, 144))
    try:
        assert fast(shot.rgb).alpha.shape == (216, 144)
    except PhotoError as error:  # an untrained network may find nothing
        assert "no garment" in str(error)


def test_a_cascade_of_cascades_is_refused(exported):
    cascade = export_cascade(exported, exported)
    with pytest.raises(ExportError, match="two single networks"):
        export_cascade(cascade, exported)


def test_shapes_hold_all_boxes_in_few_sizes():
    draws = np.random.default_rng(1)
    lows, sizes = draws.integers(0, 300, (200, 2)), draws.integers(100, 800, (200, 2))
    boxes = [tuple(map(int, (*low, *(low + size)))) for low, size in zip(lows, sizes, strict=True)]
    shapes = crop_shapes(boxes, (1728, 1152), margin_px=96)
    assert 1 < len(shapes) <= 4
    assert all(side % 64 == 0 for shape in shapes for side in shape)
    area = 0
    for left, top, right, bottom in boxes:
        wanted = min(bottom - top + 192, 1728), min(right - left + 192, 1152)
        area += min(h * w for h, w in shapes if h >= wanted[0] and w >= wanted[1])
    assert area / len(boxes) < 0.8 * max(h * w for h, w in shapes)


def test_no_boxes_no_shapes():
    assert crop_shapes([], (1728, 1152), margin_px=96) == ()
    assert garment_range([]) == (0.0, 0.0)
    assert garment_range([(0, 0, 100, 400), (0, 0, 30, 30)]) == (30.0, 200.0)
