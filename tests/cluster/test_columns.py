import io
import json
from dataclasses import asdict, fields

import pyarrow.parquet as pq
import pytest

from garmentcut.cluster.columns import ETAG, Kept, parquet_bytes, read_parquet
from garmentcut.prediction.results import Row

FULL = Row(
    "s3://bucket/photos/a.jpg",
    "photos/a",
    ("a.png", "a_mask.png"),
    notes=("gray",),
    seconds=0.5,
    size_hw=(1728, 1152),
    model="default 1",
    options="0123",
    input_bytes=5_000_000_000,
    input_mtime_ns=1_795_412_864_000_000_000,
    input_sha256="ab" * 32,
    written={"a.png": ("1", "2"), "a_mask.png": ("3",)},
    doubt=0.25,
    verdict="review",
    reasons=("faint straps",),
)


@pytest.mark.parametrize("row", [FULL, Row("/photos/b.jpg"), Row("/c.jpg", status="failed", reason="damaged")])
def test_a_row_comes_back_as_it_was(row):
    assert list(read_parquet(parquet_bytes([Kept(row, "mark")]))) == [Kept(row, "mark")]


def test_the_columns_are_those_of_results_jsonl_and_the_mark():
    table = pq.read_table(io.BytesIO(parquet_bytes([Kept(FULL)])))
    assert table.column_names == [*(field.name for field in fields(Row)), ETAG]
    plain = json.loads(json.dumps(asdict(FULL)))
    assert {**table.to_pylist(maps_as_pydicts="strict")[0], ETAG: None} == {**plain, ETAG: None}


def test_none_is_a_file_too():
    assert list(read_parquet(parquet_bytes([]))) == []


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1 and so on PAR1"])
def test_what_is_no_part(content):
    with pytest.raises(ValueError, match=r"."):
        list(read_parquet(content))
