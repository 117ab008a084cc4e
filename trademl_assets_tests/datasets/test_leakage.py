import copy
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.build import DatasetParts, build_dataset, make_clock, make_price
from trademl_assets.datasets.clock import ClockFits
from trademl_assets.datasets.cuts import choose_cuts, fair_shares
from trademl_assets.datasets.ingredients import Ingredients, read_ingredients
from trademl_assets.datasets.leakage import SHIPPED, Audited, LeakageReport, audit, audit_parts
from trademl_assets.datasets.leakage_fits import Fits, fits_of
from trademl_assets.datasets.scaling import fit_scaling
from trademl_assets.datasets.streams import PRICE_COLUMNS
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME
from trademl_assets_tests.datasets.examples import parameters_of, stated


def rules(report: LeakageReport) -> set[str]:
    return {finding.rule for finding in report.violations}


def planted(store: ArtifactStore, parts: DatasetParts, audited: Audited = SHIPPED) -> set[str]:
    return rules(audit_parts(store, parts, audited))


def test_an_honest_dataset_passes_every_rule(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    report = audit(filled_store, "example")
    assert report.passed, report.violations
    assert len(report.findings) >= 18
    assert all(set(row) == {"rule", "result", "detail"} for row in report.as_rows())
    assert LeakageReport.from_rows(report.as_rows()) == report


def test_an_honest_dataset_of_two_hours_is_cut_within_them(filled_store: ArtifactStore) -> None:
    values = stated() | {"first_instant": "2024-01-04T12:00:00Z", "minimum_history": "PT0S", "last_day": "2024-01-04"}
    for block in values["split"]["blocks"]:
        block["length"] = "PT30M"
    values["labels"] |= {"horizons_seconds": [60], "decision_stride_seconds": 60, "training_phase_seconds": 60}
    parts = build_dataset(filled_store, parameters_of(values), FRAME)
    assert audit_parts(filled_store, parts, SHIPPED).passed
    ingredients = read_ingredients(filled_store, parameters_of(values), FRAME)
    cuts = choose_cuts(ingredients, np.random.default_rng(0)).steps
    assert 720 <= cuts.min() < 740
    assert 820 < cuts.max() < 840


def test_a_shuffled_split_is_found(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    order = np.random.default_rng(0).permutation(example_parts.index.height)
    index = example_parts.index.with_columns(part=example_parts.index["part"].gather(order))
    found = planted(filled_store, replace(example_parts, index=index))
    assert {
        "label spans end inside their block",
        "no training label span overlaps a held-out one",
        "the calibration block is contiguous",
    } <= found


def test_a_label_that_crosses_into_validation_is_found(
    filled_store: ArtifactStore, example_parts: DatasetParts
) -> None:
    index = example_parts.index
    last = index.filter(pl.col("part") == "train").tail(1)
    crossing = last.with_columns(t0=pl.col("t0") + timedelta(minutes=10), t1=pl.col("t1") + timedelta(minutes=10))
    found = planted(filled_store, replace(example_parts, index=pl.concat([index, crossing]).sort("t0")))
    assert {"label spans end inside their block", "no training label span overlaps a held-out one"} <= found


def test_a_label_on_a_filled_mid_is_found(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    filled = pl.col("t0").dt.replace_time_zone(None) == pl.datetime(2024, 1, 5, 3, 25)
    shifted = example_parts.index.with_columns(
        *(pl.when(filled).then(pl.col(name) - timedelta(minutes=4)).otherwise(pl.col(name)) for name in ("t0", "t1"))
    )
    found = planted(filled_store, replace(example_parts, index=shifted))
    assert "both end mids of a label were observed" in found


def test_labels_taken_from_a_later_mid_are_found(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    index = example_parts.index.with_columns(return_bps=pl.col("return_bps").shift(-1, fill_value=0.0))
    found = planted(filled_store, replace(example_parts, index=index))
    assert found == {"labels follow from the mids at t0 and t1"}


def test_a_full_sample_scaler_is_found(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    recipe = copy.deepcopy(example_parts.recipe)
    price = example_parts.arrays["price"]
    names = tuple(PRICE_COLUMNS) * 2
    recipe["scaling"]["price"] |= {"center": fit_scaling(price, names, parameters_of(stated()).scaling).center.tolist()}
    found = planted(filled_store, replace(example_parts, recipe=recipe))
    assert found == {"scaling of price: fitted on training rows only"}


def test_full_sample_class_edges_and_percentile_ranks_are_found(
    filled_store: ArtifactStore, example_parts: DatasetParts
) -> None:
    recipe = copy.deepcopy(example_parts.recipe)
    recipe["boundaries_bps"] = np.quantile(example_parts.index["return_bps"], [0.25, 0.5, 0.75]).tolist()
    recipe["clock_fits"]["volumes"] = [*recipe["clock_fits"]["volumes"], 9.0]
    found = planted(filled_store, replace(example_parts, recipe=recipe))
    assert {"class edges: fitted on training rows only", "clock: fitted on training rows only"} <= found


def test_a_fit_function_that_sees_what_follows_training_is_found(
    filled_store: ArtifactStore, example_parts: DatasetParts
) -> None:
    def whole_sample_fits(ingredients: Ingredients) -> Fits:
        return fits_of(ingredients) | {"clock": float(ingredients.sigma.long.max())}

    found = planted(filled_store, example_parts, Audited(fits=whole_sample_fits))
    assert found == {"clock: unchanged when what follows training is noise"}


def centred(values: np.ndarray) -> np.ndarray:
    return np.stack([np.convolve(column, np.full(5, 0.2), mode="same") for column in values.T], axis=1)


def test_centred_smoothing_of_a_stream_is_found(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    def smoothed(ingredients: Ingredients) -> np.ndarray:
        return centred(make_price(ingredients)).astype(np.float32)

    parts = replace(
        example_parts, arrays=example_parts.arrays | {"price": centred(example_parts.arrays["price"]).astype("f4")}
    )
    found = planted(filled_store, parts, Audited(price=smoothed))
    assert "price: noise after a cut changes nothing before it" in found


def test_interpolation_over_gaps_is_found(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    def interpolated(ingredients: Ingredients) -> np.ndarray:
        series = ingredients.series
        steps = np.arange(series.steps)
        columns = []
        for asset in range(series.mid.shape[1]):
            seen = np.flatnonzero(series.state[:, asset] == 0)
            columns.append(np.interp(steps, seen, series.mid[seen, asset]))
        mid = np.stack(columns, axis=1)
        return make_price(replace(ingredients, series=replace(series, mid=mid, state=np.zeros_like(series.state))))

    found = planted(filled_store, example_parts, Audited(price=interpolated))
    assert "price: noise after a cut changes nothing before it" in found


def test_the_same_days_regime_is_found(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    def same_day(ingredients: Ingredients, fits: ClockFits) -> np.ndarray:
        regimes = (*ingredients.context.regimes[1:], "bull")
        return make_clock(replace(ingredients, context=replace(ingredients.context, regimes=regimes)), fits)

    found = planted(filled_store, example_parts, Audited(clock=same_day))
    assert "clock: noise after a cut changes nothing before it" in found


def test_a_stream_that_knows_how_long_the_data_last_is_found(
    filled_store: ArtifactStore, example_parts: DatasetParts
) -> None:
    def share_of_the_whole(ingredients: Ingredients) -> np.ndarray:
        return np.linspace(0, 1, ingredients.series.steps, dtype=np.float32)[:, None]

    found = planted(filled_store, example_parts, Audited(price=share_of_the_whole))
    assert "price: noise after a cut changes nothing before it" in found


def test_a_tampered_stream_is_found(filled_store: ArtifactStore, example_parts: DatasetParts) -> None:
    price = example_parts.arrays["price"].copy()
    price[777, 3] += 1e-3
    parts = replace(example_parts, arrays=example_parts.arrays | {"price": price})
    assert planted(filled_store, parts) == {"price: stored stream is what its function gives"}


@pytest.fixture(scope="module")
def surrounded(filled_store: ArtifactStore) -> DatasetParts:
    """A test day with training on both sides."""
    values = stated()
    values["split"]["blocks"] = [{"part": part, "length": "P1D"} for part in ("train", "test", "train")]
    values["split"]["embargo_seconds"] = 43_200
    return build_dataset(filled_store, parameters_of(values), FRAME)


def test_training_on_both_sides_of_a_test_day_passes(filled_store: ArtifactStore, surrounded: DatasetParts) -> None:
    assert audit_parts(filled_store, surrounded, SHIPPED).passed
    assert surrounded.recipe["counts"]["embargoed"] == 12 * 12 - 13, "thirteen of them end or begin in a gap"


def test_a_broken_embargo_is_found(filled_store: ArtifactStore, surrounded: DatasetParts) -> None:
    recipe = copy.deepcopy(surrounded.recipe)
    recipe["parameters"]["split"]["embargo_seconds"] = 50_400
    assert "training keeps the embargo after held-out blocks" in planted(
        filled_store, replace(surrounded, recipe=recipe)
    )


def test_long_term_statistics_leave_out_days_of_held_out_blocks(
    filled_store: ArtifactStore, surrounded: DatasetParts
) -> None:
    parameters = parameters_of(surrounded.recipe["parameters"])
    ingredients = read_ingredients(filled_store, parameters, FRAME)
    assert [bool(day) for day in ingredients.training_days()] == [True, True, True, True, False, True]


def test_cuts_are_spread_over_random_steps_instruments_kinds_of_gap_edge_and_day_borders(
    filled_store: ArtifactStore,
) -> None:
    ingredients = read_ingredients(filled_store, parameters_of(stated()), FRAME)

    cuts = choose_cuts(ingredients, np.random.default_rng(0))

    kinds = [f"where a gap of {name} {edge}" for name in ("LEAD", "FOLLOW") for edge in ("begins", "ends")]
    assert list(cuts.chosen) == ["at random", *kinds, "at a day's last step", "at a day's first step"]
    assert [step % 1440 for step in cuts.chosen["where a gap of FOLLOW begins"]] == [199, 499] * 4
    assert [step % 1440 for step in cuts.chosen["where a gap of FOLLOW ends"]] == [202, 539] * 4
    assert [step % 1440 for step in cuts.chosen["at a day's last step"]] == [1439] * 3
    assert len(set(cuts.chosen["at random"].tolist())) == 50


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 100))
def test_shares_use_the_budget_and_favour_no_stratum(sizes: list[int], budget: int) -> None:
    shares = fair_shares(sizes, budget)

    assert sum(shares) == min(budget, sum(sizes))
    assert all(0 <= share <= size for share, size in zip(shares, sizes, strict=True))
    cut = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert max(shares) <= min(cut, default=max(shares)) + 1
