"""Planes of Photoshop documents, unpacked strictly: psd-tools would replace damaged ones by black."""

import zlib

import numpy as np

from garmentcut.photo.photo import PhotoError, Pixels

RAW, RLE, _ZIP, _ZIP_PREDICTED = range(4)
"""Ways of packing a plane."""
DAMAGED = "damaged Photoshop document: {}; save it again"

_RLE_GAIN = 64  # PackBits makes at most 128 bytes of 2
# What all planes of a file may come to: layers that are plain packs of zeros could otherwise ask for terabytes.
_SPARE_BYTES, _GAIN = 1 << 29, 100


class PlaneDecoder:
    """Unpacks planes strictly, and no more than a file of this size can honestly hold.

    Args:
        depth: bits a sample, 1, 8 or 16.
        num_bytes: of the file.
    """

    def __init__(self, depth: int, num_bytes: int) -> None:
        self._depth = depth
        self._bytes_left = _SPARE_BYTES + _GAIN * num_bytes

    def row_bytes(self, width: int) -> int:
        """Bytes of an unpacked row."""
        return (width * self._depth + 7) // 8

    def unpack(self, compression: int, packed: bytes, size_hw: tuple[int, int]) -> Pixels:
        """One plane `(H, W)`, uint8 or uint16.

        Raises:
            PhotoError: damaged, or far more than the file can hold.
        """
        height, width = size_hw
        num_bytes = height * self.row_bytes(width)
        self._bytes_left -= num_bytes
        if self._bytes_left < 0:
            raise PhotoError("its layers unpack to far more than such a file can hold; flatten it and save it again")
        if compression == RLE:
            if len(packed) < 2 * height:
                raise PhotoError(DAMAGED.format("a layer is cut off"))
            lengths = np.frombuffer(packed, ">u2", count=height).astype(np.int64)
            return self.unpack_rows(packed[2 * height : 2 * height + int(lengths.sum())], size_hw)
        if compression in (_ZIP, _ZIP_PREDICTED):
            packed = _inflate(packed, num_bytes)
        return self._shape(packed[:num_bytes], size_hw, is_predicted=compression == _ZIP_PREDICTED)

    def unpack_rows(self, rows: bytes, size_hw: tuple[int, int]) -> Pixels:
        """One plane of PackBits rows, without the table of their lengths; as `unpack`."""
        import imagecodecs

        num_bytes = size_hw[0] * self.row_bytes(size_hw[1])
        if num_bytes > _RLE_GAIN * len(rows):
            raise PhotoError(DAMAGED.format("a layer is cut off"))
        return self._shape(bytes(imagecodecs.packbits_decode(rows, out=num_bytes)), size_hw)

    def _shape(self, data: bytes, size_hw: tuple[int, int], *, is_predicted: bool = False) -> Pixels:
        height, width = size_hw
        if len(data) != height * self.row_bytes(width):
            raise PhotoError(DAMAGED.format("a layer is cut off"))
        if self._depth == 1:
            bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(height, -1), axis=1, count=width)
            return (1 - bits) * np.uint8(255)  # a set bit is black
        kind = np.dtype(np.uint8 if self._depth == 8 else np.uint16)
        samples = np.frombuffer(data, kind.newbyteorder(">")).reshape(size_hw).astype(kind)
        return np.cumsum(samples, axis=1, dtype=kind) if is_predicted else samples


def _inflate(packed: bytes, num_bytes: int) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(packed, num_bytes + 1)
    if len(unpacked) != num_bytes:
        raise PhotoError(DAMAGED.format("a layer is cut off"))
    return unpacked
