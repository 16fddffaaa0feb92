"""Photos prepared inside the network."""

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from torch import nn

from garmentcut.errors import ModelError
from garmentcut.model.prepared import Prepared, enlarged, equalized, shrunk, standardised, stretched

SMALL = {"network": "simple", "options": {"channels": [4, 8]}}


@pytest.fixture
def photos():
    torch.manual_seed(0)
    return torch.randint(40, 200, (2, 3, 32, 48)).float() / 255


def seen_by(network, photos):
    """What the inner network makes of photos before its first layer."""
    seen = []
    network.network.logits = lambda x: (seen.append(x), x[:, :1])[1]
    network.eval()(photos)
    return seen[0]


def test_without_options_it_is_the_network(photos):
    network = Prepared(**SMALL).eval()
    assert torch.equal(network(photos), network.network(photos))
    assert network.multiple_of == 2


def test_gray_has_the_same_luma_in_all_channels(photos):
    seen = seen_by(Prepared(**SMALL, color="gray"), photos)
    luma = 0.299 * photos[:, 0] + 0.587 * photos[:, 1] + 0.114 * photos[:, 2]
    for channel in range(3):
        torch.testing.assert_close(seen[:, channel], (luma - 0.5) / 0.5)


def test_unit_levels_reach_the_network_as_they_are(photos):
    torch.testing.assert_close(seen_by(Prepared(**SMALL, levels="unit"), photos), photos)


def test_standard_levels_have_mean_0_and_deviation_1(photos):
    seen = seen_by(Prepared(**SMALL, levels="standard"), photos)
    torch.testing.assert_close(seen.mean(dim=(2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.std(dim=(2, 3), unbiased=False), torch.ones(2, 3), atol=0.02, rtol=0)
    assert standardised(torch.full((1, 3, 4, 4), 0.3)).abs().max() < 1e-3


def test_a_stretch_by_hand():
    values = torch.arange(100, 200).float().view(1, 1, 10, 10).expand(1, 3, 10, 10) / 255
    found = stretched(values, 0.1)  # the tenth value of a hundred is 109, the ninetieth 189
    expected = ((values * 255 - 109) / 80).clamp(0, 1)
    torch.testing.assert_close(found, expected)


def test_a_stretch_agrees_with_percentiles(photos):
    low, high = np.percentile(photos[0].numpy(), (2, 98))
    expected = np.clip((photos[0].numpy() - low) / (high - low), 0, 1)
    np.testing.assert_allclose(stretched(photos, 0.02)[0].numpy(), expected, atol=0.02)


def test_a_flat_photo_survives():
    flat = torch.full((1, 3, 8, 8), 0.4)
    assert torch.isfinite(stretched(flat, 0.02)).all()
    assert torch.isfinite(equalized(flat)).all()


def test_equalisation_by_hand():
    photo = torch.tensor([10, 10, 20, 30, 30, 30, 30, 40]).float().view(1, 1, 2, 4).expand(1, 3, 2, 4) / 255
    shares = torch.tensor([2, 2, 3, 7, 7, 7, 7, 8]) / 8
    expected = ((shares - 0.25) / 0.75).view(1, 1, 2, 4).expand(1, 3, 2, 4)
    torch.testing.assert_close(equalized(photo), expected)


def test_photos_of_a_batch_do_not_mix(photos):
    for change in (equalized, standardised, lambda x: stretched(x, 0.02)):
        torch.testing.assert_close(change(photos)[1:], change(photos[1:]))


@pytest.mark.parametrize("down", ["area", "nearest", "linear", "cubic"])
def test_shrinking_keeps_the_place(down):
    """A ramp of centres: each small pixel's centre has the large photo's value there."""
    ramp = torch.arange(32).float().view(1, 1, 1, 32).expand(1, 3, 32, 32) / 32
    small = shrunk(ramp, 2, down)
    expected = (2 * torch.arange(16) + (1.0 if down == "nearest" else 0.5)) / 32
    torch.testing.assert_close(small[0, 0, 8, 2:-2], expected[2:-2])


@pytest.mark.parametrize("up", ["nearest", "linear", "cubic"])
def test_logits_come_back_at_the_photos_size(photos, up):
    network = Prepared(**SMALL, shrink=4, resampling=("area", up)).eval()
    assert network.multiple_of == 8
    assert network(photos).shape == (2, 1, 32, 48)
    assert torch.equal(enlarged(torch.ones(1, 1, 3, 4), 2, up), torch.ones(1, 1, 6, 8))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"network": "prepared"}, "cannot hold another"),
        ({"network": "unets"}, "did you mean unet"),
        ({"percent": 50}, "percent"),
        ({"shrink": 0}, "shrink"),
    ],
)
def test_options_that_do_not_fit(options, says):
    with pytest.raises(ModelError, match=says):
        Prepared(**{**SMALL, **options})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("color", "grey"),
        ("levels", "flat"),
        ("resampling", ("area",)),
        ("resampling", ("box", "linear")),
        ("resampling", ("area", "area")),
    ],
)
def test_words_that_are_not_known(option, value):
    with pytest.raises(ValueError, match=f"{option}.* is "):
        Prepared(**{**SMALL, option: value})


def test_an_encoder_is_loaded_through_it():
    network = Prepared(network="cutnet", options={"channels": [8, 8, 8, 8]})
    assert all(part.startswith("network.") for part in network.neutral_parts)
    with pytest.raises(ModelError, match="no encoder"):
        Prepared(**SMALL).load_encoder({})


def test_each_preparation_exports_for_photos_of_any_size(tmp_path):
    """All in one file and without the network within, for torch takes seconds to export any."""
    ways = [
        {"color": "gray", "levels": "standard"},
        {"levels": "stretched"},
        {"levels": "equalized"},
        {"levels": "unit", "shrink": 2, "resampling": ("cubic", "cubic")},
        {"shrink": 2, "resampling": ("nearest", "nearest")},
    ]

    class Each(nn.Module):
        def __init__(self):
            super().__init__()
            self.networks = nn.ModuleList([Prepared(**SMALL, **options) for options in ways])
            for network in self.networks:
                network.network.logits = lambda x: x.mean(dim=1, keepdim=True)

        def forward(self, x):
            return tuple(network(x) for network in self.networks)

    network, path = Each().eval(), tmp_path / "net.onnx"
    free = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        network,
        (torch.rand(2, 3, 32, 48),),
        path,
        input_names=["x"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
        verbose=False,
    )
    photo = (torch.randint(0, 256, (1, 3, 64, 40)) / 255).float()
    with torch.no_grad():
        wanted = network(photo)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    by_onnxruntime = onnxruntime.InferenceSession(path).run(None, {"x": photo.numpy()})
    by_openvino = [compiled([photo.numpy()])[number] for number in range(len(ways))]
    for found in (by_onnxruntime, by_openvino):
        for options, values, expected in zip(ways, found, wanted, strict=True):
            np.testing.assert_allclose(values, expected.numpy(), atol=1e-4, err_msg=str(options))
