"""The photo taken out of a document: bit for bit, or a reason why not."""

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage

from garmentcut.photo.cutout import Cutout
from garmentcut.photo.layout import Placement
from garmentcut.photo.photo import PhotoError
from garmentcut.photo.photoshop import read_cutout
from garmentcut.photo.placing import lay_on_canvas
from garmentcut.photo.psd_cutout import layered_psd
from garmentcut.photo.psd_writer import PsdLayer

from .made import pixels, rgb_profile
from .made_corrected import Written, deep, painted
from .made_cutout import add_layer, layered, psd_bytes, put, soft_disc

AS_WRITTEN = "out of the layer 'Ebene 1', as garmentcut wrote it"
RETOUCHED = ("out of the layer 'Ebene 1'", "not as garmentcut wrote it: retouched, perhaps")
GONE = "no longer holds the whole photo: its layer was erased in, scaled or removed"


@pytest.fixture
def original_of(tmp_path):
    def read(document):
        path = tmp_path / "IMG_1.psd"
        path.write_bytes(document if isinstance(document, bytes) else psd_bytes(document))
        return read_cutout(path).read_original()

    return read


@pytest.fixture
def cutout(studio):
    drawn = studio()
    return Cutout(drawn.photo, drawn.alpha, rgb_profile())


@pytest.mark.parametrize("background", [None, "#30c0ff"])
@pytest.mark.parametrize("num_bits", [8, 16])
def test_it_is_the_photo_bit_for_bit(original_of, cutout, num_bits, background):
    cutout = cutout if num_bits == 8 else deep(cutout)
    photo = original_of(layered_psd(cutout, background=background, name="Kjole æ"))
    np.testing.assert_array_equal(photo.rgb, cutout.rgb)
    assert photo.rgb.dtype == cutout.rgb.dtype
    assert photo.profile == cutout.profile
    known = ", as garmentcut wrote it" if num_bits == 8 else ""
    assert photo.notes == (f"out of the layer 'Kjole æ'{known}",)


def test_a_retouched_layer_is_told(original_of, cutout):
    rgb = cutout.rgb.copy()
    rgb[10:20, 10:20] = 0
    photo = original_of(Written(cutout).saved(rgb=rgb, mask=painted(cutout.rounded_alpha())))
    np.testing.assert_array_equal(photo.rgb, rgb)
    assert photo.notes == RETOUCHED


def test_of_two_layers_the_untouched_one(original_of, cutout):
    """Photographers duplicate the layer before they retouch."""
    written = Written(cutout)
    retouched = cutout.rgb[::-1].copy()
    below = [PsdLayer("Ebene 0", cutout.rgb)]
    photo = original_of(written.saved(rgb=retouched, below=below))
    np.testing.assert_array_equal(photo.rgb, cutout.rgb)
    assert photo.notes == ("out of the layer 'Ebene 0', as garmentcut wrote it",)
    both = original_of(written.saved(rgb=retouched, below=[PsdLayer("Ebene 0", cutout.rgb // 2)]))
    np.testing.assert_array_equal(both.rgb, retouched), "the one with the mask"


def test_what_is_no_whole_photo_is_refused_with_the_reason(original_of, cutout):
    part = "trimmed, laid on another canvas or with its hidden pixels cleared"
    canvas = lay_on_canvas(cutout, Placement((300, 300), (100, 50, 220, 260)), keeps_hidden=True)
    for cut in (cutout.trimmed(5), cutout.cleaned, canvas):
        with pytest.raises(PhotoError, match=part):
            original_of(layered_psd(cut))


def test_cropped_and_scaled_documents_are_refused_with_the_reason(original_of, cutout):
    mark = Written(cutout).opened().image_resources.get_data(1060)
    small = layered((144, 96))
    add_layer(small, cutout.rgb[:144, :96], mask=cutout.rounded_alpha()[:144, :96])
    put(small, 1060, mark)
    with pytest.raises(PhotoError, match="cropped or scaled from 192x288 to 96x144 pixels"):
        original_of(small)


def test_erased_pixels_are_refused_with_the_reason(original_of, cutout):
    document = Written(cutout).opened()
    document.remove(document[0])
    add_layer(document, np.dstack([cutout.rgb, cutout.rounded_alpha()]))
    with pytest.raises(PhotoError, match=GONE):
        original_of(document)


def test_of_other_documents_the_lowest_layer_that_covers_all(original_of):
    size, rgb = (40, 30), pixels(40, 30)
    document = layered(size)
    add_layer(document, np.full((*size, 3), 255, np.uint8), "White")
    add_layer(document, rgb, "Photo")
    add_layer(document, rgb[::-1], "Garment", mask=soft_disc(*size))
    photo = original_of(document)
    np.testing.assert_array_equal(photo.rgb, rgb)
    assert photo.notes == ("out of the layer 'Photo'",)


def test_a_layer_larger_than_the_picture_is_cut_to_it(original_of):
    rgb = pixels(60, 50)
    document = layered((40, 30))
    add_layer(document, rgb, "Photo", at=(-5, -8), mask=soft_disc())
    np.testing.assert_array_equal(original_of(document).rgb, rgb[5:45, 8:38])


def test_documents_without_a_photo(original_of):
    document = layered((40, 30))
    add_layer(document, np.dstack([pixels(40, 30), soft_disc()]))
    with pytest.raises(PhotoError, match="no layer that covers the picture without a hole"):
        original_of(document)
    gray = layered((40, 30), mode="L")
    add_layer(gray, np.dstack([pixels(40, 30, 1), soft_disc()]))
    with pytest.raises(PhotoError, match="not in RGB"):
        original_of(gray)


def test_other_files_are_never_looked_into(tmp_path):
    Image.fromarray(np.dstack([pixels(40, 30), soft_disc()])).save(tmp_path / "a.png")
    assert read_cutout(tmp_path / "a.png").read_original is None
    PSDImage.frompil(Image.fromarray(soft_disc())).save(tmp_path / "a.psd")
    with pytest.raises(PhotoError):
        read_cutout(tmp_path / "a.psd").read_original()
