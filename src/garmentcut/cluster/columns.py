"""Rows as Parquet: the same columns as results.jsonl, and one more, the store's own mark of the photo's content."""

import io
import json
import types
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from garmentcut.prediction.results import Row, read_row

if TYPE_CHECKING:
    import pyarrow as pa

ETAG = "input_etag"
_PRIMITIVES = {str: "string", int: "int64", float: "float64", bool: "bool_"}


@dataclass(frozen=True)
class Kept:
    """A row, and what the object store says of its photo.

    Attributes:
        row: as in results.jsonl; `input` may be a URL.
        etag: the store's mark of the photo's content as it was read; empty: it has none.
    """

    row: Row
    etag: str = ""


def parquet_bytes(kept: Iterable[Kept]) -> bytes:
    """Rows as one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = [{**_plain(asdict(each.row)), ETAG: each.etag} for each in kept]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(content, schema=schema()), buffer, compression="zstd")
    return buffer.getvalue()


def read_parquet(data: bytes) -> Iterator[Kept]:
    """The rows of a Parquet file that `parquet_bytes` made; columns of other versions are passed over.

    Raises:
        ValueError: it is none of ours.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error
    for content in table.to_pylist(maps_as_pydicts="strict"):
        row = read_row(json.dumps(content).encode())
        if row is None:
            raise ValueError("a row that is not garmentcut's")
        yield Kept(row, str(content.get(ETAG) or ""))


def schema() -> "pa.Schema":
    """Arrow's types of a row's fields, and of the mark."""
    import pyarrow as pa

    hints = get_type_hints(Row)
    columns = [(field.name, _arrow_type(hints[field.name])) for field in fields(Row)]
    return pa.schema([*columns, (ETAG, pa.string())])


def _arrow_type(hint: Any) -> Any:
    import pyarrow as pa

    origin, inner = get_origin(hint), [each for each in get_args(hint) if each not in (type(None), Ellipsis)]
    if origin is Literal:
        return pa.string()
    if origin is types.UnionType:
        return _arrow_type(inner[0])
    if origin is tuple:
        return pa.list_(_arrow_type(inner[0]))
    if origin is dict:
        return pa.map_(_arrow_type(inner[0]), _arrow_type(inner[1]))
    return getattr(pa, _PRIMITIVES[hint])()


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """Arrow takes maps as lists of pairs."""
    return {key: list(value.items()) if isinstance(value, dict) else value for key, value in content.items()}
