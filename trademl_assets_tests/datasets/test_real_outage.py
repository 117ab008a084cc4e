"""The outage of 2023-03-24 in a real dataset: no bar from 12:40 to 13:59 UTC, no trade in the 72 minutes before."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.candles.bars import check_bars
from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.leakage import audit
from trademl_assets.datasets.series import GridFrame
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.candles.made_bars import at, candle_parameters
from trademl_assets_tests.datasets.candle_market import candle_values, write_candles, write_experiment
from trademl_assets_tests.datasets.examples import parameters_of, stated
from trademl_assets_tests.sources.formats.configured import instrument
from trademl_assets_tests.sources.test_bar_files import BARS, NAMED

NAMES = ("BTCUSDT", "ETHUSDT", "LTCUSDT")
MARCH = date(2023, 3, 1)
LAST_TRADE, STOPPED, BACK = at("2023-03-24T11:28:00"), at("2023-03-24T12:40:00"), at("2023-03-24T14:01:00")
"""When the last bar with a trade had ended, the last bar at all, and the first bar after the outage."""


def values() -> dict[str, Any]:
    bars = {"kind": "bars", "lookback": "PT50M", "parameters": {"reference_volumes": dict.fromkeys(NAMES, 100.0)}}
    example = candle_values()
    blocks = {"train": "P2D", "validation": "PT6H", "calibration": "PT6H", "test": "PT12H"}
    return example | {
        "target": "BTCUSDT",
        "instruments": list(NAMES),
        "first_day": "2023-03-23",
        "last_day": "2023-03-25",
        "labels": {**example["labels"], "horizons_seconds": [1800]},
        "split": {**stated()["split"], "blocks": [{"part": part, "length": span} for part, span in blocks.items()]},
        "streams": {**example["streams"], "additional": {"bars": bars}},
    }


@pytest.fixture(scope="module")
def made(market_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ArtifactStore, DatasetParts]:
    folder = market_data / "candles-binance-1m"
    if not folder.is_dir():
        pytest.skip(f"no candles-binance-1m in {market_data}")
    columns = {**NAMED, "trades": None, "taker_buy_volume": None}
    files = {name: str(folder / f"{name}_1m_2023.parquet") for name in NAMES}
    time = {"column": "time", "unit": "sniff", "zone": None}
    built = SOURCES.get("bar_files")
    settings = built.parameters.model_validate_json(
        json.dumps({**BARS, "time": time, "columns": columns, "files": files})
    )
    instruments: dict[str, InstrumentParameters] = {name: instrument(name, name) for name in NAMES}
    source = built(settings, instruments)
    store = ArtifactStore.at(tmp_path_factory.mktemp("outage"))
    write_candles(store, {name: _checked(source, instruments[name]) for name in NAMES})
    frame = GridFrame(cadence_seconds=60, max_gap_seconds=180, instruments=NAMES)
    return store, write_experiment(store, "outage", parameters_of(values()), frame)


def _checked(source: Any, of: InstrumentParameters) -> pl.DataFrame:
    rows = source.bars(of, date(2023, 3, 1), date(2023, 3, 31))
    return check_bars(rows, of.name, MARCH, candle_parameters()).table


def step(dataset: Dataset, instant: datetime) -> int:
    return (instant - at("2023-03-23T00:00:00")) // timedelta(seconds=dataset.cadence_seconds)


def test_the_outage_is_masked(made: tuple[ArtifactStore, DatasetParts]):
    dataset = open_dataset(made[0], "outage")
    mask = dataset.gather("mask", 0, dataset.steps)
    stopped, back = step(dataset, STOPPED), step(dataset, BACK)
    for first in (0, 4):
        observed, filled, missing = (mask[:, first + field] for field in range(3))
        assert observed[stopped]
        assert filled[stopped + 1 : stopped + 4].all()
        assert missing[stopped + 4 : back].all()
        assert back - stopped == 81
        assert observed[back]
    assert not dataset.gather("bars", stopped + 1, back).any()


def test_a_coin_that_was_not_recorded_yet_is_missing_throughout(made: tuple[ArtifactStore, DatasetParts]):
    dataset = open_dataset(made[0], "outage")
    assert (dataset.gather("mask", 0, dataset.steps)[:, 10] == 1).all()


def test_the_age_tells_that_bars_without_a_trade_are_old(made: tuple[ArtifactStore, DatasetParts]):
    dataset = open_dataset(made[0], "outage")
    age = dataset.gather("mask", 0, dataset.steps)[:, 3]
    last, stopped = step(dataset, LAST_TRADE), step(dataset, STOPPED)
    assert age[last] == 0
    assert (np.diff(age[last : last + 4]) > 0).all()
    assert (age[last + 3 : stopped + 1] == 1).all()


def test_no_label_begins_ends_or_lies_within_the_outage(made: tuple[ArtifactStore, DatasetParts]):
    index = made[1].index
    touching = index.filter((pl.col("t1") > LAST_TRADE) & (pl.col("t0") < BACK))
    assert touching.is_empty()
    assert index.filter(pl.col("t1") <= LAST_TRADE).height > 100
    assert index.filter(pl.col("t0") >= BACK).height > 100


def test_the_audit_passes(made: tuple[ArtifactStore, DatasetParts]):
    report = audit(made[0], "outage")
    assert report.passed, report.violations
