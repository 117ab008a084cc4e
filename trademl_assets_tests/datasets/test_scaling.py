import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.datasets.build import fit_streams
from trademl_assets.datasets.ingredients import read_ingredients
from trademl_assets.datasets.perturbation import randomise_after
from trademl_assets.datasets.scaling import ScalingParameters, evenly_spaced, fit_scaling, training_steps
from trademl_assets.datasets.splits import Block
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME
from trademl_assets_tests.datasets.examples import parameters_of, stated


def scaling_of(**changes: object) -> ScalingParameters:
    return ScalingParameters.model_validate_json(json.dumps(stated()["scaling"] | changes))


def minmax_everywhere() -> dict[str, Any]:
    values = stated()
    values["scaling"] |= {"method": "min_max"}
    return values


@pytest.mark.parametrize("method", ["robust", "standard"])
def test_a_normal_column_gets_its_mean_and_standard_deviation(method: str) -> None:
    rows = np.random.default_rng(0).normal([3.0, -1.0], [2.0, 0.5], (50_000, 2))
    fitted = fit_scaling(rows, ("a", "b"), scaling_of(method=method))
    assert fitted.center == pytest.approx([3.0, -1.0], abs=0.05)
    assert fitted.scale == pytest.approx([2.0, 0.5], rel=0.03)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_the_least_and_the_greatest_training_value_become_minus_one_and_one(values: list[float]) -> None:
    rows = np.asarray(values)[:, None]
    fitted = fit_scaling(rows, ("a",), scaling_of(method="min_max", constant_below=1e-3))
    scaled = (rows - fitted.center) / fitted.scale
    if fitted.constant:
        assert np.ptp(rows) <= 2e-3
    else:
        assert [scaled.min(), scaled.max()] == pytest.approx([-1.0, 1.0])


@pytest.mark.parametrize("method", ["robust", "standard", "min_max"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_held_out_changes_no_fit(filled_store: ArtifactStore, method: str, seed: int) -> None:
    values = stated()
    values["scaling"] |= {"method": method}
    ingredients = read_ingredients(filled_store, parameters_of(values), FRAME)
    rng = np.random.default_rng(seed)

    before, _ = fit_streams(ingredients)
    after, _ = fit_streams(randomise_after(ingredients, ingredients.training_span_us[1], rng))

    assert {name: fitted.as_dict() for name, fitted in after.items()} == {
        name: fitted.as_dict() for name, fitted in before.items()
    }


@pytest.mark.parametrize("method", ["robust", "standard", "min_max"])
def test_missing_values_do_not_count(method: str) -> None:
    rows = np.random.default_rng(0).normal(2.0, 3.0, (400, 2))
    gaps = rows.copy()
    gaps[::3, 0] = np.nan
    fitted = fit_scaling(gaps, ("a", "b"), scaling_of(method=method))
    alone = fit_scaling(np.delete(rows, np.s_[::3], axis=0)[:, :1], ("a",), scaling_of(method=method))
    whole = fit_scaling(rows, ("a", "b"), scaling_of(method=method))
    assert [fitted.center[0], fitted.scale[0]] == pytest.approx([alone.center[0], alone.scale[0]])
    assert [fitted.center[1], fitted.scale[1]] == pytest.approx([whole.center[1], whole.scale[1]])


def test_a_stream_may_have_a_method_of_its_own(filled_store: ArtifactStore) -> None:
    values = stated()
    values["scaling"] |= {"method_by_stream": {"price": "min_max"}}
    plain, mixed = (read_ingredients(filled_store, parameters_of(each), FRAME) for each in (stated(), values))

    before, after = (fit_streams(each)[0] for each in (plain, mixed))

    assert before["long_term"].as_dict() == after["long_term"].as_dict()
    fitted, _ = fit_streams(read_ingredients(filled_store, parameters_of(minmax_everywhere()), FRAME))
    assert after["price"].as_dict() == fitted["price"].as_dict() != before["price"].as_dict()
    values["scaling"] |= {"method_by_stream": {"bars": "min_max"}}
    with pytest.raises(ValueError, match=r"names \['bars'\], which are no streams"):
        parameters_of(values)


def test_a_constant_column_is_named_and_left_unscaled_unless_it_has_a_floor() -> None:
    rows = np.stack([np.full(100, 4.0), np.full(100, 4.0), np.arange(100.0)], axis=1)
    fitted = fit_scaling(rows, ("x:spread_bps", "x:log_sigma_short", "x:other"), scaling_of())
    assert fitted.constant == ("x:spread_bps",)
    assert fitted.scale[:2].tolist() == [1.0, 0.05]
    assert fitted.center[0] == 4.0


def test_missing_values_are_left_out_and_a_column_without_any_is_neutral() -> None:
    rows = np.stack([np.r_[np.full(50, np.nan), np.arange(50.0)], np.full(100, np.nan)], axis=1)
    fitted = fit_scaling(rows, ("a", "b"), scaling_of())
    assert fitted.center.tolist() == [24.5, 0.0]
    assert fitted.scale[1] == 1.0


def test_every_level_of_a_book_gets_its_own_statistics() -> None:
    rows = np.random.default_rng(0).normal(0, 1, (2000, 4, 3)) * np.arange(1, 5)[:, None]
    assert fit_scaling(rows, ("a", "b", "c"), scaling_of()).scale == pytest.approx(
        np.tile(np.arange(1, 5)[:, None], 3), rel=0.1
    )


@given(st.integers(1, 500), st.integers(1, 500))
def test_thinning_keeps_order_and_both_ends(count: int, at_most: int) -> None:
    found = evenly_spaced(np.arange(count), at_most)
    assert len(found) == min(count, at_most)
    assert np.all(np.diff(found) > 0)
    assert found[0] == 0
    assert at_most == 1 or found[-1] == count - 1


def test_only_steps_of_training_blocks_are_fitted_on() -> None:
    blocks = [Block("test", 0, 20), Block("train", 20, 50), Block("test", 50, 80), Block("train", 80, 90)]
    assert np.flatnonzero(training_steps(np.arange(0, 100, 10), blocks)).tolist() == [2, 3, 4, 8]
