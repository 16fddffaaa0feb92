import zlib

import imagecodecs
import numpy as np
import pytest

from garmentcut.photo.psd_packing import pack_differences, pack_rows

DTYPES = [np.uint8, np.uint16]


def rows_of(packed, plane):
    lengths = np.frombuffer(packed.lengths, ">u2")
    assert len(lengths) == len(plane)
    assert lengths.sum() == len(packed.rows)
    ends = np.cumsum(lengths)
    rows = [imagecodecs.packbits_decode(packed.rows[end - length : end]) for end, length in zip(ends, lengths)]  # noqa: B905
    return np.stack([np.frombuffer(row, plane.dtype.newbyteorder(">")) for row in rows])


def framed(dtype, *, top=3, left=4, bottom=2, right=5, border=0):
    """Noise in a plain border, large enough that a run does not fit in one packet."""
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (6, 7), dtype, endpoint=True)
    return np.pad(noise, ((top, bottom), (200 * left, 200 * right)), constant_values=border)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("border", [0, 7, 200])
@pytest.mark.parametrize("sides", [{}, {"top": 0}, {"left": 0}, {"right": 0}, {"bottom": 0}, {"top": 0, "left": 0}])
def test_rows_are_found_again(dtype, border, sides):
    plane = framed(dtype, border=border, **sides)
    np.testing.assert_array_equal(rows_of(pack_rows(plane), plane), plane)


@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_planes_and_single_samples(dtype):
    for plane in (np.full((5, 300), 9, dtype), np.broadcast_to(dtype(1), (4, 3)), np.array([[1, 2]], dtype)):
        np.testing.assert_array_equal(rows_of(pack_rows(plane), plane), plane)
    assert len(pack_rows(np.zeros((5, 300), dtype)).rows) <= 5 * 10 * dtype(0).itemsize


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_plane_of_an_interleaved_picture(dtype):
    picture = np.random.default_rng(1).integers(0, 200, (9, 11, 3)).astype(dtype)
    np.testing.assert_array_equal(rows_of(pack_rows(picture[..., 1]), picture[..., 1]), picture[..., 1])


def test_differences_add_up_again():
    plane = np.random.default_rng(0).integers(0, 65_536, (6, 9)).astype(np.uint16)[:, ::-1]
    differences = np.frombuffer(zlib.decompress(pack_differences(plane)), ">u2").reshape(plane.shape)
    np.testing.assert_array_equal(np.cumsum(differences, axis=1, dtype=np.uint16), plane)
