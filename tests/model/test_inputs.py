import pytest
import torch

from garmentcut.model.inputs import check_input


def test_photos_pass():
    check_input(torch.zeros(2, 3, 64, 96), 32)
    check_input(torch.zeros(1, 4, 5, 7, dtype=torch.bfloat16), 1, channels=4)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(3, 64, 64), r"shape \(N, 3, H, W\), not \(3, 64, 64\)"),
        (torch.zeros(1, 64, 64, 3), r"not \(1, 64, 64, 3\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "not uint8; divide by 255"),
        (torch.zeros(1, 3, 64, 80), "multiples of 32, not 64x80; pad them"),
        (torch.zeros(1, 3, 0, 64), "multiples of 32, not 0x64"),
    ],
)
def test_others_are_told_what_is_wanted(x, says):
    with pytest.raises(ValueError, match=says):
        check_input(x, 32)
