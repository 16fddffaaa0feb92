"""Reads and writes text inside an ONNX file, such as the card, without the onnx package.

An ONNX file is one protobuf message (onnx.proto3, `ModelProto`); its field 14, `metadata_props`, holds pairs of text.
Two protobuf messages written one after the other are one merged message, so a pair is appended without touching or even
parsing the network. That spares the base install thirty megabytes.
"""

from collections.abc import Iterator

from garmentcut.errors import ModelError

_METADATA_PROPS = 14
# No fields of ONNX, whose numbers end below 30: every reader passes over them, and keeps them.
_ATTACHMENTS = {"locate": 1001, "refine": 1002}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def metadata_of(model: bytes, key: str) -> str | None:
    """The text stored under `key`, the last one where there are several; None if there is none.

    Raises:
        ModelError: not an ONNX file.
    """
    values = [value for value, _, _ in _entries(model, key)]
    return values[-1].decode() if values else None


def with_metadata(model: bytes, key: str, text: str) -> bytes:
    """The model with a pair of text appended."""
    pair = _length_delimited(1, key.encode()) + _length_delimited(2, text.encode())
    return model + _length_delimited(_METADATA_PROPS, pair)


def without_metadata(model: bytes, key: str) -> bytes:
    """The model without any text under `key`; all other bytes as they were.

    Raises:
        ModelError: not an ONNX file.
    """
    kept, end = [], 0
    for _, start, stop in _entries(model, key):
        kept.append(model[end:start])
        end = stop
    return b"".join([*kept, model[end:]])


def attachment_of(model: bytes, name: str = "locate") -> bytes | None:
    """The bytes that `with_attachment` added under a name; None: there are none.

    Raises:
        ModelError: not an ONNX file.
    """
    found = [payload for number, payload, _, _ in _fields(model) if number == _ATTACHMENTS[name]]
    return found[-1] if found else None


def with_attachment(model: bytes, content: bytes, name: str = "locate") -> bytes:
    """The model with bytes that are no part of its network, another network for example, in place of earlier ones.

    They stand in a field that ONNX does not have. Protobuf's readers pass over such a field, so to every tool the file
    stays the network it was (docs/decisions/007-locate-then-cut.md).

    Args:
        model: content of an ONNX file.
        content: to attach.
        name: `locate` or `refine`.
    """
    number = _ATTACHMENTS[name]
    for _, start, stop in reversed([field[1:] for field in _fields(model) if field[0] == number]):
        model = model[:start] + model[stop:]
    return model + _length_delimited(number, content)


def _entries(model: bytes, key: str) -> Iterator[tuple[bytes, int, int]]:
    """Value, start and stop of each pair with this key."""
    for number, payload, start, stop in _fields(model):
        if number == _METADATA_PROPS:
            pair = {inner: value for inner, value, _, _ in _fields(payload)}
            if pair.get(1) == key.encode():
                yield pair.get(2, b""), start, stop


def _fields(message: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Number, payload, start and stop of each field of a protobuf message (encoding: protobuf.dev)."""
    at = 0
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        kind, payload = key & 7, b""
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _LENGTH:
            length, at = _varint(message, at)
            payload, at = message[at : at + length], at + length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ModelError("is not an ONNX file")
        if at > len(message):
            raise ModelError("is not an ONNX file, or was cut short")
        yield key >> 3, payload, start, at


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ModelError("is not an ONNX file, or was cut short")


def _length_delimited(number: int, payload: bytes) -> bytes:
    return _packed(number << 3 | _LENGTH) + _packed(len(payload)) + payload


def _packed(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
