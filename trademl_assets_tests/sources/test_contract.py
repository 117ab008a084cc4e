"""What a source hands out, and who may call itself a source."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from trademl_assets.foundation.errors import ConfigError, DataQualityError
from trademl_assets.sources.contract import (
    AGGREGATE_SCHEMA,
    SNAPSHOT_ARRAYS,
    SOURCES,
    TALL_SCHEMA,
    DepthSource,
    InstrumentParameters,
    SnapshotSource,
    snapshot_schema,
)
from trademl_assets.sources.contracts import aggregate_contract, require_contract, snapshot_contract, tall_contract
from trademl_assets.sources.events.binance_capture import BinanceCaptureSource
from trademl_assets.sources.files import SnapshotFilesSource
from trademl_assets.sources.formats.list_column_files import DepthFilesSource

SLOTS = 3
BTC = {
    "name": "BTCUSDT.usdm",
    "venue": "binance",
    "market": "usdm",
    "symbol": "BTCUSDT",
    "tick_size": 0.1,
    "reference_quantity": 1.0,
}


def tall_rows() -> pl.DataFrame:
    instants = [datetime(2024, 3, 5, 0, 0, second, tzinfo=UTC) for second in (1, 1, 2)]
    rows = {
        "ts": instants,
        "batch_id": [7, 7, 8],
        "level": [0, 1, 0],
        "bid_price": [100.0, 99.0, 100.0],
        "bid_quantity": [1.0, 2.0, 1.0],
        "ask_price": [101.0, None, 101.0],
        "ask_quantity": [1.0, None, 1.0],
    }
    return pl.DataFrame(rows, schema=dict(TALL_SCHEMA))


def snapshots() -> pl.DataFrame:
    levels = np.tile(np.array([0.5, 1.5, np.nan], dtype=np.float32), (2, 1))
    rows: dict[str, Any] = {
        "ts": [datetime(2024, 3, 5, 0, 0, second, tzinfo=UTC) for second in (1, 2)],
        "batch_id": [7, 8],
        "mid": [100.5, 100.5],
        "spread_bps": [99.5, 99.5],
        "microprice_bps": [-1.0, 1.0],
        "locked": [False, False],
    }
    return pl.DataFrame({**rows, **dict.fromkeys(SNAPSHOT_ARRAYS, levels)}, schema=snapshot_schema(SLOTS))


def aggregates() -> pl.DataFrame:
    row = (date(2024, 3, 5), "BTC", 0.1, 2.0, -0.2, 5.0, 12.0, 180.0, 100.5, 8640)
    return pl.DataFrame([row], schema=dict(AGGREGATE_SCHEMA), orient="row")


def test_kinds_are_found_by_name_and_tell_by_their_methods_what_they_can() -> None:
    assert SOURCES.get("binance_capture") is BinanceCaptureSource
    assert SOURCES.get("snapshot_files") is SnapshotFilesSource
    assert issubclass(BinanceCaptureSource, DepthSource)
    assert issubclass(DepthFilesSource, DepthSource)
    assert issubclass(SnapshotFilesSource, SnapshotSource)
    assert not issubclass(SnapshotFilesSource, DepthSource)
    with pytest.raises(ConfigError, match="binance_capture"):
        SOURCES.get("crystal_ball")


@pytest.mark.parametrize(
    "mistake",
    [
        {"symbol": "btcusdt"},
        {"symbol": "BTC;DROP"},
        {"name": "a/b"},
        {"name": "|"},
        {"market": "margin"},
        {"tick_size": 0.0},
        {"tick_size": float("inf")},
        {"reference_quantity": -1.0},
        {"colour": "red"},
    ],
)
def test_an_impossible_instrument_is_refused(mistake: dict[str, Any]) -> None:
    assert InstrumentParameters.model_validate(BTC).market == "usdm"
    with pytest.raises(ValidationError):
        InstrumentParameters.model_validate({**BTC, **mistake})


def test_whole_tables_keep_their_contracts() -> None:
    require_contract(tall_rows(), tall_contract(), "tall rows")
    require_contract(tall_rows().clear(), tall_contract(), "an empty day")
    require_contract(snapshots(), snapshot_contract(SLOTS), "snapshots")
    require_contract(aggregates(), aggregate_contract(), "aggregates")


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        (tall_rows().reverse(), "sorted"),
        (tall_rows().drop("level"), "column_in_dataframe"),
        (tall_rows().with_columns(extra=1), "extra"),
        (tall_rows().with_columns(batch_id=pl.lit(None, dtype=pl.Int64)), "batch_id: not_nullable"),
        (tall_rows().with_columns(level=-pl.col("level")), "level: greater_than_or_equal_to"),
        (tall_rows().with_columns(pl.col("ts").dt.replace_time_zone(None)), "ts: dtype"),
    ],
)
def test_broken_tall_rows_are_refused(broken: pl.DataFrame, part: str) -> None:
    with pytest.raises(DataQualityError, match=part):
        require_contract(broken, tall_contract(), "BTC on 2024-03-05")


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        (snapshots().with_columns(mid=0.0), "mid"),
        (snapshots().with_columns(mid=float("inf")), "mid"),
        (snapshots().with_columns(spread_bps=pl.lit(-1, dtype=pl.Float32)), "spread_bps"),
        (snapshots().with_columns(bid_quantity=pl.col("bid_quantity").arr.eval(-pl.element())), "bid_quantity"),
        (pl.concat([snapshots(), snapshots()]), "ascends"),
        (snapshots().with_columns(pl.col("ask_quantity").arr.head(2).list.to_array(2)), "ask_quantity: dtype"),
    ],
)
def test_broken_snapshots_are_refused(broken: pl.DataFrame, part: str) -> None:
    with pytest.raises(DataQualityError, match=part):
        require_contract(broken, snapshot_contract(SLOTS), "BTC on 2024-03-05")


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        (pl.concat([aggregates(), aggregates()]), "day"),
        (aggregates().with_columns(volatility_bps=-1.0), "volatility_bps"),
        (aggregates().with_columns(close=0.0), "close"),
    ],
)
def test_broken_aggregates_are_refused(broken: pl.DataFrame, part: str) -> None:
    with pytest.raises(DataQualityError, match=part):
        require_contract(broken, aggregate_contract(), "2024-03-05")
