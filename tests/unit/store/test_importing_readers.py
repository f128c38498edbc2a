"""Rows come out of files as they were written, wherever the pieces that are read happen to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardkit.errors import DataError
from rewardkit.store import importing_readers
from rewardkit.store.importing_files import count_rows, read_rows
from rewardkit.store.importing_readers import read_csv, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ITEMS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=ITEMS, chunk=st.integers(1, 40), indent=st.none() | st.integers(0, 2), ascii_only=st.booleans())
def test_an_array_is_read_in_pieces_of_any_size(
    tmp_path: Path, items: list[dict[str, object]], chunk: int, indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace").decode())
    expected = json.loads(path.read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing_readers, "CHUNK", chunk)
        rows = list(read_json(path))
    assert [(row.line, row.data) for row in rows] == list(enumerate(expected, 1))


@pytest.mark.parametrize("text", ["[{}", "[{},", "[{} {}]", '[{}, {"a":', "[{},]"])
def test_an_array_that_is_broken_says_where(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    first, last = read_json(path)
    assert (first.line, first.data) == (1, {})
    assert last.line == 2
    assert last.problem.startswith("not valid JSON from here on")


def test_lines_are_counted_with_the_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"b": 2}\r\n{"c": NaN}')
    rows = list(read_json(path))
    assert [row.line for row in rows] == [1, 3, 4]
    assert rows[1].data == {"b": 2}
    assert rows[2].data is not None and rows[2].data["c"] != rows[2].data["c"]


def test_a_csv_row_is_known_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\n1,"x\ny"\n\n2,z\n')
    assert [(row.line, row.data) for row in read_csv(path)] == [
        (2, {"a": "1", "b": "x\ny"}),
        (5, {"a": "2", "b": "z"}),
    ]


def test_rows_are_counted_where_that_is_quick(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    (tmp_path / "x.csv").write_text("a\n1\n2\n")
    (tmp_path / "x.json").write_text('[{"a": 1}]')
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "x.parquet")
    (tmp_path / "broken.parquet").write_text("no")
    names = ("x.jsonl", "x.csv", "x.json", "x.parquet", "broken.parquet", "gone.csv")
    assert [count_rows(tmp_path / name) for name in names] == [2, 3, None, 3, None, None]


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet", "x.arrow"])
def test_a_file_that_may_not_be_read_says_so(open_folder: Path, as_user: Any, name: str) -> None:
    path = open_folder / name
    path.write_text("{}")
    path.chmod(0)
    with as_user(), pytest.raises(DataError, match=r"the file cannot be read \(Permission denied\)") as caught:
        list(read_rows(path))
    assert caught.value.where == str(path) and "who may read" in caught.value.fix


def test_a_date_that_is_none_spoils_its_own_row_only(tmp_path: Path) -> None:
    pq.write_table(pa.table({"day": pa.array([0, 2**60, 0], pa.date64())}), tmp_path / "x.parquet")
    rows = list(read_rows(tmp_path / "x.parquet"))
    assert [row.data is None for row in rows] == [False, True, False]
    assert rows[1].line == 2 and rows[1].problem.startswith("a value cannot be read (")
