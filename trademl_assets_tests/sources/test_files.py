"""Importing compressed snapshots from Parquet files."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.foundation.input_files import changed_inputs, noting_inputs
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, snapshot_schema
from trademl_assets.sources.files import (
    SnapshotFilesParameters,
    SnapshotFilesSource,
)
from trademl_assets_tests.sources.formats.configured import ABC, DAY

SLOTS = 3
MIDNIGHT = datetime(2024, 3, 5, tzinfo=UTC)
CAPS: dict[str, Any] = {"max_rows": 1_000, "max_file_bytes": 1_000_000}


def snapshots(*seconds: int) -> pl.DataFrame:
    """Compressed snapshots `seconds` after the day's midnight."""
    levels = np.tile(np.array([0.5, 1.5, np.nan], dtype=np.float32), (len(seconds), 1))
    rows: dict[str, Any] = {
        "ts": [MIDNIGHT + timedelta(seconds=second) for second in seconds],
        "batch_id": list(seconds),
        "mid": [100.5] * len(seconds),
        "spread_bps": [99.5] * len(seconds),
        "microprice_bps": [0.0] * len(seconds),
        "locked": [False] * len(seconds),
    }
    return pl.DataFrame({**rows, **dict.fromkeys(SNAPSHOT_ARRAYS, levels)}, schema=snapshot_schema(SLOTS))


def snapshot_source(path: Path, **changes: Any) -> SnapshotFilesSource:
    settings = {"files": {"ABC": str(path)}, "slots": SLOTS, **CAPS, **changes}
    return SnapshotFilesSource(SnapshotFilesParameters.model_validate_json(json.dumps(settings)), {"ABC": ABC})


def refusal_of(path: Path, **changes: Any) -> str:
    with pytest.raises(SourceError) as refusal:
        snapshot_source(path, **changes).snapshots(ABC, DAY, 0)
    assert "ABC on 2024-03-05" in str(refusal.value)
    assert "->" in str(refusal.value), "a refusal says what to do"
    return str(refusal.value)


def test_one_file_holds_several_days(tmp_path: Path) -> None:
    snapshots(-90_000, -20, -10, 0, 10, 86_399, 86_400).write_parquet(tmp_path / "all.parquet")

    imported = snapshot_source(tmp_path / "all.parquet").snapshots(ABC, DAY, 15)

    assert imported.equals(snapshots(-10, 0, 10, 86_399))


def test_files_are_noted_the_missing_one_of_the_day_before_too(tmp_path: Path) -> None:
    snapshots(0, 10).write_parquet(tmp_path / "2024-03-05.parquet")
    with noting_inputs() as inputs:
        snapshot_source(tmp_path / "{day}.parquet").snapshots(ABC, DAY, 15)
    assert [Path(path).name for path in inputs] == ["2024-03-04.parquet", "2024-03-05.parquet"]
    assert list(changed_inputs(inputs)) == []
    snapshots(-20).write_parquet(tmp_path / "2024-03-04.parquet")
    assert list(changed_inputs(inputs)) == [str(tmp_path / "2024-03-04.parquet")]


def test_a_file_a_day_with_its_lead_in_from_the_day_before(tmp_path: Path) -> None:
    snapshots(-20, -10).write_parquet(tmp_path / "2024-03-04.parquet")
    snapshots(0, 10).write_parquet(tmp_path / "2024-03-05.parquet")

    assert snapshot_source(tmp_path / "{day}.parquet").snapshots(ABC, DAY, 15).equals(snapshots(-10, 0, 10))


def test_the_first_day_has_no_lead_in(tmp_path: Path) -> None:
    snapshots(0, 10).write_parquet(tmp_path / "2024-03-05.parquet")

    assert snapshot_source(tmp_path / "{day}.parquet").snapshots(ABC, DAY, 15).equals(snapshots(0, 10))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "2024-03-05.parquet" in refusal_of(tmp_path / "{day}.parquet")


@pytest.mark.parametrize("kept", [0, 4, 200, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    snapshots(0, 10).write_parquet(tmp_path / "cut.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:kept])

    assert "cut.parquet" in refusal_of(tmp_path / "cut.parquet")


def test_damaged_pages_are_refused(tmp_path: Path) -> None:
    snapshots(*range(100)).write_parquet(tmp_path / "bad.parquet")
    content = bytearray((tmp_path / "bad.parquet").read_bytes())
    content[4:60] = bytes(56)
    (tmp_path / "bad.parquet").write_bytes(content)

    assert "bad.parquet" in refusal_of(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        (snapshots(0, 10).drop("mid"), "lacks the columns mid"),
        (snapshots(0, 10).with_columns(pl.col("mid").cast(pl.Float32)), "column mid is Float32"),
        (snapshots(0, 10).with_columns(pl.col("ts").cast(pl.String)), "another layout"),
        (snapshots(0, 10).with_columns(pl.col("ts").dt.replace_time_zone(None)), "another layout"),
        (snapshots(0, 10).with_columns(pl.col("ts").dt.cast_time_unit("ms")), "column ts"),
        (snapshots(0, 10).with_columns(mid=pl.lit(None, dtype=pl.Float64)), "nulls in mid"),
        (snapshots(10, 0), "step back"),
        (snapshots(0, 0), "repeat"),
        (snapshots(-5), "no row of the day"),
        (snapshots(), "no row of the day"),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path: Path, frame: pl.DataFrame, part: str) -> None:
    frame.write_parquet(tmp_path / "odd.parquet")

    assert part in refusal_of(tmp_path / "odd.parquet")


def test_a_file_of_another_known_format_names_the_kind_to_use(tmp_path: Path) -> None:
    pl.DataFrame({"ts": [0], "bid_price": [[1.0]], "ask_price": [[2.0]]}).write_parquet(tmp_path / "books.parquet")

    assert "use the source kind depth_files" in refusal_of(tmp_path / "books.parquet")


def test_a_file_of_another_width_is_refused(tmp_path: Path) -> None:
    snapshots(0, 10).write_parquet(tmp_path / "wide.parquet")

    assert "check slots" in refusal_of(tmp_path / "wide.parquet", slots=4)


def test_a_file_that_declares_too_much_is_refused_unread(tmp_path: Path) -> None:
    snapshots(*range(50)).write_parquet(tmp_path / "big.parquet")

    assert "declares 50 rows" in refusal_of(tmp_path / "big.parquet", max_rows=49)
    assert "raise max_rows or max_file_bytes" in refusal_of(tmp_path / "big.parquet", max_file_bytes=100)


def test_files_of_an_unknown_instrument_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown instruments XYZ"):
        snapshot_source(tmp_path, files={"XYZ": "x.parquet"})
