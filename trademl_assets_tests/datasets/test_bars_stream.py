from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.candle_inputs import series_of_bars
from trademl_assets.datasets.ingredients import Ingredients, read_ingredients
from trademl_assets.datasets.leakage import SHIPPED, audit, audit_streams
from trademl_assets.datasets.leakage_candles import KNOWN_AT_END, UNMOVED, audit_candles
from trademl_assets.datasets.perturbation import first_difference, make_futures
from trademl_assets.datasets.series import GridFrame, GridSeries
from trademl_assets.datasets.stream_kinds import make_additional
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.candle_market import (
    FRAME,
    NAMES,
    candle_values,
    made_store,
    three_days,
    write_experiment,
)
from trademl_assets_tests.datasets.conftest import PROVENANCE
from trademl_assets_tests.datasets.examples import parameters_of, stated

GAP = 1440 + 720


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return made_store(tmp_path_factory.mktemp("candles"))


@pytest.fixture(scope="module")
def parts(store: ArtifactStore) -> DatasetParts:
    return write_experiment(store, "minutes", parameters_of(candle_values()))


@pytest.fixture(scope="module")
def ingredients(store: ArtifactStore) -> Ingredients:
    return read_ingredients(store, parameters_of(candle_values()), FRAME)


def test_bars_are_distances_to_the_close_before_and_the_log_of_volume(parts: DatasetParts):
    table = three_days()["ONE"]
    stream = parts.arrays["bars"]
    assert stream.shape == (3 * 1440, 10)
    assert stream.dtype == np.float32
    number = 700  # the bar that ended at step 700, since the first ended at step 0
    before = table["close"][number - 1]
    expected = [1e4 * np.log(table[name][number] / before) for name in ("open", "high", "low", "close")]
    np.testing.assert_allclose(stream[number, :4], expected, rtol=1e-6)
    assert stream[number, 4] == np.float32(np.log1p(table["volume"][number] / 10.0))
    assert stream[0, :4].tolist() == [0.0] * 4
    assert stream[0, 4] > 0


def test_a_gap_is_zero_and_the_distance_across_it_whole(parts: DatasetParts):
    table, stream = three_days()["ONE"], parts.arrays["bars"]
    assert not stream[GAP : GAP + 60, :5].any()
    across = 1e4 * np.log(table["close"][GAP] / table["close"][GAP - 1])
    np.testing.assert_allclose(stream[GAP + 60, 3], across, rtol=1e-6)


def test_the_close_column_is_the_return_of_the_price_stream(parts: DatasetParts, ingredients: Ingredients):
    returns = parts.arrays["price"][:, 0].astype(np.float64) * ingredients.sigma.short[:, 0]
    np.testing.assert_allclose(parts.arrays["bars"][:, 3], returns, rtol=1e-5, atol=1e-4)


def test_the_mask_says_observed_filled_missing_and_the_age(parts: DatasetParts):
    mask = parts.arrays["mask"]
    assert mask[GAP - 1 : GAP + 4, :4].tolist() == [
        [1.0, 0.0, 0.0, 0.0],
        *([0.0, 1.0, 0.0, np.float32(np.float16(share))] for share in (1 / 3, 2 / 3, 1.0)),
        [0.0, 0.0, 1.0, 1.0],
    ]
    assert mask[GAP : GAP + 2, 4:].tolist() == [
        [0.0, 1.0, 0.0, np.float32(np.float16(share))] for share in (1 / 3, 2 / 3)
    ]
    assert (mask.reshape(-1, 2, 4)[..., :3].sum(axis=2) == 1).all()


def test_no_label_touches_the_gap(parts: DatasetParts, store: ArtifactStore):
    dataset = open_dataset(store, "minutes")
    steps = dataset.index["step"].to_numpy()
    ends = steps + 10
    assert not ((steps >= GAP) & (steps < GAP + 60)).any()
    assert not ((ends >= GAP) & (ends < GAP + 60)).any()
    assert dataset.streams == ("price", "mask", "clock", "bars")
    assert dataset.gather("bars", GAP - 5, GAP + 5).shape == (10, 10)
    assert dataset.columns("bars")[:5] == tuple(
        f"ONE:{name}" for name in ("open_bps", "high_bps", "low_bps", "close_bps", "log_volume")
    )
    assert parts.index.height > 500


def test_the_audit_passes_a_dataset_of_candles_and_looks_at_its_mask_and_bars(
    store: ArtifactStore, parts: DatasetParts
):
    report = audit(store, "minutes")
    assert report.passed, report.violations
    rules = [finding.rule for finding in report.findings]
    for name in ("bars", "mask", "price", "clock"):
        assert f"{name}: noise after a cut changes nothing before it" in rules
    assert {KNOWN_AT_END, UNMOVED} <= set(rules)


def test_the_audit_finds_bars_that_show_the_next_one(parts: DatasetParts, ingredients: Ingredients):
    ahead = np.roll(parts.arrays["bars"], -1, axis=0)
    changed = replace(parts, arrays={**parts.arrays, "bars": ahead})
    failed = {finding.rule for finding in audit_streams(changed, ingredients, SHIPPED) if not finding.passed}
    assert failed == {"bars: stored stream is what its function gives"}

    def leaking(some: Ingredients) -> NDArray[np.float32]:
        return np.roll(make_additional(some, "bars"), -1, axis=0)

    assert first_difference(leaking, make_futures(ingredients, 2000, 500, np.random.default_rng(1))) == 2000


def stamped_with_openings(
    tables: Mapping[str, pl.DataFrame], days: Sequence[date], names: Sequence[str], frame: GridFrame
) -> GridSeries:
    """The classic mistake: a bar is taken for known when it opens."""
    early = {name: table.with_columns(pl.col("ts") - timedelta(minutes=1)) for name, table in tables.items()}
    return series_of_bars(early, days, names, frame)


def test_the_audit_finds_bars_that_are_known_when_they_open(store: ArtifactStore, ingredients: Ingredients):
    assert all(finding.passed for finding in audit_candles(store, ingredients))
    leaking = stamped_with_openings(three_days(), ingredients.days, NAMES, FRAME)
    found = audit_candles(store, replace(ingredients, series=leaking), stamped_with_openings)
    assert {finding.rule for finding in found if not finding.passed} == {KNOWN_AT_END, UNMOVED}


def test_noise_after_a_step_reaches_the_bars(ingredients: Ingredients):
    def shifted(some: Ingredients) -> NDArray[np.float32]:
        assert some.series.bars is not None
        return np.nan_to_num(np.roll(some.series.bars[:, 0], -1, axis=0)).astype(np.float32)

    assert first_difference(shifted, make_futures(ingredients, 1000, 100, np.random.default_rng(1))) == 1000


def with_streams(**changes: Any) -> dict[str, Any]:
    values = candle_values()
    return {**values, "streams": {**values["streams"], **changes}}


def test_a_book_stream_of_candles_is_refused():
    with pytest.raises(ValidationError, match="series_from: candles knows no book"):
        parameters_of(with_streams(book={"lookback": "PT1H"}))


def test_bars_of_a_grid_are_refused():
    bars = candle_values()["streams"]["additional"]
    values = stated()
    with pytest.raises(ValidationError, match="write series_from: candles"):
        parameters_of({**values, "streams": {**values["streams"], "additional": bars}})


def test_an_instrument_without_a_reference_volume_is_named(store: ArtifactStore):
    bars = {"kind": "bars", "lookback": "PT50M", "parameters": {"reference_volumes": {"ONE": 1.0}}}
    parameters = parameters_of(with_streams(additional={"bars": bars}))
    with pytest.raises(ConfigError, match="reference_volumes lacks TWO"):
        write_experiment(store, "lacking", parameters)


def test_a_month_that_is_empty_leaves_its_instrument_missing(tmp_path: Path):
    store = made_store(tmp_path)
    empty = three_days()["TWO"][:0]
    with store.write("candles", "2024-03|TWO", schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", empty)
        writer.rows(0)
    parts = write_experiment(store, "alone", parameters_of(candle_values()))
    assert (parts.arrays["mask"][:, 6] == 1).all()
    assert not parts.arrays["bars"][:, 5:].any()
    assert parts.index.height > 500
