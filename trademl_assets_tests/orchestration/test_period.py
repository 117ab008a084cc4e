"""Days by the recipe of a dataset: what the dataset itself holds for them, to the last sample; and what is refused."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.period import build_period
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.evaluation.period import find_seen, require_unseen
from trademl_assets.foundation.calendar import day_bounds
from trademl_assets.foundation.errors import ConfigError, MissingPartitionError
from trademl_assets_tests.orchestration.conftest import World

TEST_DAY = date(2024, 1, 5)  # the tiny market trains on two days, then validates, calibrates, and tests on two
COLUMNS = ["t0", "t1", "label", "return_bps", "sigma_bps", "regime", "on_stride"]


@pytest.fixture(scope="module")
def recipe(made_world: World) -> dict[str, Any]:
    found: dict[str, Any] = made_world.store.read_json("dataset", "demo", "recipe")
    return found


def test_the_samples_of_a_day_are_those_that_the_dataset_has(made_world: World, recipe: dict[str, Any]):
    midnight = day_bounds(TEST_DAY)[1]
    own = made_world.store.read_table("dataset", "demo", "index")
    own = own.filter((pl.col("t0").dt.date() == TEST_DAY) & (pl.col("t1") <= midnight))
    period = build_period(made_world.store, recipe, TEST_DAY, TEST_DAY)
    made = period.index.filter(pl.col("part") == "test")
    assert made.height == period.index.height == own.height > 200
    for name in COLUMNS:
        expected, found = own[name], made[name]
        if expected.dtype.is_float():
            assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-9), name
        else:
            assert found.equals(expected), name


def test_the_streams_of_a_day_are_those_that_the_dataset_has(made_world: World, recipe: dict[str, Any]):
    dataset = open_dataset(made_world.store, "demo")
    period = build_period(made_world.store, recipe, TEST_DAY, TEST_DAY)
    day = TEST_DAY.isoformat()
    mine, theirs = period.recipe["days"].index(day), recipe["days"].index(day)
    steps = dataset.steps_per_day
    for name in ("price", "clock"):
        found = period.arrays[name][mine * steps : (mine + 1) * steps]
        expected = dataset.gather(name, theirs * steps, (theirs + 1) * steps)
        assert np.abs(found - expected).max() < 1e-4, name
    lookback = dataset.lookback_steps("long_term")
    assert np.array_equal(period.arrays["long_term"][mine : mine + lookback], dataset.long_term(theirs))


def test_nothing_is_fitted_anew(made_world: World, recipe: dict[str, Any]):
    period = build_period(made_world.store, recipe, TEST_DAY, TEST_DAY)
    for name in ("scaling", "clock_fits", "class_edges", "boundaries_bps", "class_names", "streams"):
        assert period.recipe[name] == recipe[name]
    shifted = recipe | {
        "boundaries_bps": [edge + 10.0 for edge in recipe["boundaries_bps"]],
    }
    other = build_period(made_world.store, shifted, TEST_DAY, TEST_DAY)
    assert not other.index["label"].equals(period.index["label"])
    assert other.index["return_bps"].equals(period.index["return_bps"])


def test_days_without_a_grid_are_named(made_world: World, recipe: dict[str, Any]):
    with pytest.raises(MissingPartitionError, match="2024-01-07"):
        build_period(made_world.store, recipe, date(2024, 1, 6), date(2024, 1, 7))
    with pytest.raises(ConfigError, match="swap them"):
        build_period(made_world.store, recipe, date(2024, 1, 6), date(2024, 1, 5))


def test_days_that_a_model_was_made_with_are_refused_unless_asked_for(recipe: dict[str, Any]):
    assert find_seen(recipe, TEST_DAY, date(2024, 1, 6)) == []
    assert not require_unseen(recipe, TEST_DAY, TEST_DAY, hindsight=False)
    for day, part in ((1, "train"), (3, "validation"), (4, "calibration")):
        with pytest.raises(ConfigError, match=rf"made with: .*{part}.*hindsight: true"):
            require_unseen(recipe, date(2024, 1, day), TEST_DAY, hindsight=False)
        assert require_unseen(recipe, date(2024, 1, day), TEST_DAY, hindsight=True)
    before = date(2023, 12, 30)
    assert require_unseen(recipe, before, before, hindsight=False), "training data lies after them"
