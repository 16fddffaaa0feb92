import io

import numpy as np
import pytest
import torch
from PIL import Image

from garmentcut.dataset.augment.draws import Draws
from garmentcut.dataset.augment.jpeg import at_quality, compress_jpeg
from garmentcut.recipe import Strength


def by_pillow(photo, quality):
    file = io.BytesIO()
    pixels = (photo * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255


@pytest.mark.parametrize("quality", [10, 30, 49, 75, 95])
def test_it_does_what_a_jpeg_encoder_does(studio, quality):
    photo = torch.from_numpy(studio(120, 88).photo).permute(2, 0, 1) / 255  # 120 = 7.5 blocks of 16
    photo = photo + 0.05 * torch.rand(photo.shape, generator=torch.Generator().manual_seed(0))
    photo = photo.clamp(0, 1)
    ours, theirs = at_quality(photo[None], torch.tensor([float(quality)]))[0], by_pillow(photo, quality)
    assert (ours - theirs).abs().mean() < 0.1 * (photo - theirs).abs().mean() + 1 / 255
    assert (ours - photo).abs().mean() == pytest.approx(float((theirs - photo).abs().mean()), rel=0.2)


def test_quality_falls_as_far_as_the_amount(batch):
    photos = batch[0][:1].expand(40, -1, -1, -1).contiguous()
    draws = Draws(torch.Generator().manual_seed(0), 40)
    lost = (compress_jpeg(photos, draws, Strength(1, 90)) - photos).abs().mean(dim=(1, 2, 3))
    best, worst = ((at_quality(photos[:1], torch.tensor([q])) - photos[:1]).abs().mean() for q in (100.0, 10.0))
    assert lost.min() >= best * 0.9
    assert worst * 0.6 < lost.max() <= worst * 1.05


def test_flat_photos_stay_nearly_as_they_are():
    flat = torch.full((1, 3, 20, 20), 0.5)
    assert (at_quality(flat, torch.tensor([90.0])) - flat).abs().max() < 2 / 255
