from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.ingredients import read_ingredients
from trademl_assets.datasets.partial_steps import partial_steps, trailing_shares
from trademl_assets.datasets.perturbation import randomise_after
from trademl_assets.datasets.sample_index import class_edges, make_index, state_edges
from trademl_assets.datasets.series import GridSeries
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME
from trademl_assets_tests.datasets.examples import parameters_of, stated

LOOKBACK = 120


def short_lookback(threshold: float) -> dict[str, object]:
    values = stated() | {"partial_fill_threshold": threshold}
    values["streams"] |= {"book": {"lookback": "PT1H"}, "price": {"lookback": "PT2H"}, "mask": {"lookback": "PT30M"}}
    return values


@given(st.lists(st.booleans(), min_size=1), st.integers(0, 12))
def test_shares_count_the_last_steps_up_to_the_decision(partial: list[bool], lookback: int) -> None:
    shares = trailing_shares(np.asarray(partial), np.arange(len(partial)), lookback)

    for step, share in enumerate(shares):
        window = partial[max(step + 1 - lookback, 0) : step + 1] if lookback else []
        assert share == (np.mean(window) if window else 0.0)


def test_a_step_is_partial_where_unusable_or_its_target_unseen_or_another_filled() -> None:
    state = np.asarray([[0, 0], [0, 1], [0, 2], [1, 0], [2, 0], [1, 1], [0, 2]], np.uint8)
    usable = np.asarray([1, 1, 1, 1, 1, 1, 0], np.uint8)
    columns = np.zeros(state.shape, np.float32)
    series = GridSeries(np.arange(7), columns.astype(np.float64), state, columns, columns, columns, usable)

    assert partial_steps(series, 0).tolist() == [False, True, False, True, True, True, True]
    assert partial_steps(series, 1).tolist() == [False, True, True, True, False, True, True]


def test_samples_whose_lookback_is_too_partial_are_skipped_and_counted(filled_store: ArtifactStore) -> None:
    tolerant = make_index(read_ingredients(filled_store, parameters_of(short_lookback(1.0)), FRAME))
    strict = read_ingredients(filled_store, parameters_of(short_lookback(0.02)), FRAME)

    index = make_index(strict)

    partial = partial_steps(strict.series, strict.target_position)
    steps = tolerant.table["step"].to_numpy()
    shares = np.asarray([partial[step + 1 - LOOKBACK : step + 1].mean() for step in steps])
    assert index.table["t0"].equals(tolerant.table.filter(pl.Series(shares <= 0.02))["t0"])
    assert tolerant.counts["partially_filled"] == 0
    assert index.counts["partially_filled"] > 0
    left_out = sum(value for name, value in index.counts.items() if name != "candidates")
    assert index.counts["candidates"] - left_out == index.table.height


def test_class_edges_are_fitted_where_another_part_is_left_without_a_sample(filled_store: ArtifactStore) -> None:
    ingredients = read_ingredients(filled_store, parameters_of(short_lookback(0.1)), FRAME)
    noisy = randomise_after(ingredients, ingredients.training_span_us[1], np.random.default_rng(0))

    assert class_edges(noisy) == state_edges(make_index(ingredients).edges, "return_bps")
    with pytest.raises(DataQualityError, match=r"part 'validation' of FOLLOW has no sample.*mid_not_observed"):
        make_index(noisy)


def test_unusable_steps_of_the_grid_count(filled_store: ArtifactStore) -> None:
    ingredients = read_ingredients(filled_store, parameters_of(short_lookback(0.1)), FRAME)
    usable = ingredients.series.usable.copy()
    usable[1_000:1_060] = 0
    worse = replace(ingredients, series=replace(ingredients.series, usable=usable))

    before, after = make_index(ingredients), make_index(worse)

    gone = set(before.table["step"].to_list()) - set(after.table["step"].to_list())
    assert gone == {step for step in before.table["step"].to_list() if 1_012 <= step <= 1_060 - 1 + LOOKBACK - 12}
