"""Several targets in one index: each labelled as if it were alone, apart in time from all others, weighed together."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trademl_assets.datasets.build import DatasetParts, build_dataset
from trademl_assets.datasets.differences import differences
from trademl_assets.datasets.ingredients import read_ingredients
from trademl_assets.datasets.label_kinds import LABELS
from trademl_assets.datasets.leakage import SHIPPED, audit_parts
from trademl_assets.datasets.plots import draw_timeline
from trademl_assets.datasets.price_classes import PriceClasses
from trademl_assets.datasets.sample_index import make_index
from trademl_assets.datasets.split_plots import draw_split
from trademl_assets.datasets.splits import effective_samples
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME, write_experiment
from trademl_assets_tests.datasets.examples import parameters_of, stated

TARGETS = ("FOLLOW", "LEAD")
HORIZONS = [900, 1800]
QUANTILES = {"boundaries": {"kind": "quantile", "classes": 4}}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "quantiles": ("price_classes", QUANTILES),
    "by instrument": (
        "price_classes",
        {"boundaries": {"kind": "by_instrument", "edges_bps": {"FOLLOW": [-8, 0, 8], "LEAD": [-4, 0, 4]}}},
    ),
    "scaled": ("price_classes", {"boundaries": {"kind": "volatility_scaled", "multiples": [-1, 0, 1]}}),
    "returns": ("future_return", {"edges_bps": None}),
    "barriers": (
        "triple_barrier",
        {"side": "long", "barriers": {"kind": "sigma"}, "target": 1.0, "stop": 1.0, "max_path_gap_seconds": 240},
    ),
}
OF_ONE = ("t0", "t1", "step", "horizon_seconds", "label", "return_bps", "sigma_bps", "part", "block", "on_stride")


def pooled(**changed: Any) -> dict[str, Any]:
    values = stated() | {"pooled_with": ["LEAD"]}
    values["labels"] |= {"horizons_seconds": HORIZONS} | changed.pop("labels", {})
    values["split"] |= changed.pop("split", {})
    return values | changed


def alone(values: dict[str, Any], target: str) -> dict[str, Any]:
    return values | {"target": target, "pooled_with": []}


def index_of(store: ArtifactStore, values: dict[str, Any]) -> pl.DataFrame:
    return make_index(read_ingredients(store, parameters_of(values), FRAME)).table


@pytest.fixture(scope="module")
def parts(filled_store: ArtifactStore) -> DatasetParts:
    return write_experiment(filled_store, "pooled", parameters_of(pooled()))


@pytest.fixture(scope="module")
def opened(filled_store: ArtifactStore, parts: DatasetParts) -> Dataset:
    assert parts.index.height
    return open_dataset(filled_store, "pooled")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    horizons=st.lists(st.sampled_from([300, 900, 1800]), min_size=1, max_size=2, unique=True),
    embargo=st.sampled_from([3600, 7200]),
    age=st.sampled_from([5.0, 0.3]),
)
def test_of_each_target_a_pooled_index_holds_what_it_would_alone(
    filled_store: ArtifactStore, kind: str, horizons: list[int], embargo: int, age: float
) -> None:
    name, of_kind = KINDS[kind]
    labels = {"horizons_seconds": horizons, "kind": name, "parameters": of_kind, "max_mid_age_seconds": age}
    weights = {"parts": [{"kind": "uniqueness"}, {"kind": "exponential_age", "half_life_days": 1.0}]}
    values = pooled(labels=labels, split={"embargo_seconds": embargo}, weights=weights)
    together = index_of(filled_store, values)

    assert together["t0"].is_sorted()
    assert together["sample"].to_list() == list(range(together.height))
    for target in TARGETS:
        mine = together.filter(instrument=target)
        expected = index_of(filled_store, alone(values, target))
        assert mine.drop("sample", "weight").equals(expected.drop("sample", "weight"))
        for horizon in horizons:
            ratio = (
                mine.filter(horizon_seconds=horizon)["weight"] / expected.filter(horizon_seconds=horizon)["weight"]
            ).to_numpy()[(expected.filter(horizon_seconds=horizon)["part"] == "train").to_numpy()]
            assert ratio == pytest.approx(ratio[0], rel=1e-5)


def test_weights_of_a_horizon_have_mean_one_over_all_targets_and_balance_their_classes(
    filled_store: ArtifactStore,
) -> None:
    fixed = {"kind": "price_classes", "parameters": {"boundaries": {"kind": "fixed", "edges_bps": [-15.0, 0.0, 15.0]}}}
    index = index_of(filled_store, pooled(labels=fixed, weights={"parts": [{"kind": "balanced_classes"}]}))
    for horizon in HORIZONS:
        train = index.filter(part="train", horizon_seconds=horizon)
        assert train["weight"].mean() == pytest.approx(1.0, rel=1e-6)
        by_class = train.group_by("label").agg(pl.col("weight").sum())["weight"].to_numpy()
        assert by_class == pytest.approx(by_class[0], rel=1e-4)
    assert set(index.filter(pl.col("part") != "train")["weight"]) == {1.0}


def test_no_label_of_any_target_reaches_into_the_time_of_another_part(parts: DatasetParts) -> None:
    blocks = parts.recipe["blocks"]
    t0, t1 = (parts.index[name].to_physical() for name in ("t0", "t1"))
    number = parts.index["block"].to_list()
    assert all(blocks[at]["first_us"] <= begin for at, begin in zip(number, t0, strict=True))
    assert all(end <= blocks[at]["last_us"] for at, end in zip(number, t1, strict=True))


def test_labels_of_two_targets_at_the_same_time_count_as_one_independent_label(
    filled_store: ArtifactStore, parts: DatasetParts
) -> None:
    one = build_dataset(filled_store, parameters_of(alone(pooled(), "LEAD")), FRAME).recipe
    recipe = parts.recipe
    samples = {part: sum(b["on_stride"] for b in recipe["blocks"] if b["part"] == part) for part in ("train", "test")}
    by_target = {each["instrument"]: each for each in recipe["by_target"]}
    for part in ("train", "test"):
        of_each = [by_target[target]["effective_samples"][part] for target in TARGETS]
        assert of_each[1] == pytest.approx(one["effective_samples"][part])
        assert max(of_each) <= recipe["effective_samples"][part] < sum(of_each) * 0.6
        assert samples[part] == sum(by_target[target]["horizons"][0]["samples"][part] for target in TARGETS)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(1, 9), st.integers(1, 4))
def test_repeating_labels_adds_no_independent_one(begins: list[int], length: int, targets: int) -> None:
    t0 = np.sort(np.asarray(begins))
    several = np.sort(np.tile(t0, targets))
    assert effective_samples(several, several + length) == pytest.approx(effective_samples(t0, t0 + length))


def test_classes_are_counted_by_target_and_as_a_whole_and_thin_ones_are_warned_of(filled_store: ArtifactStore) -> None:
    name, of_kind = KINDS["by instrument"]
    recipe = build_dataset(
        filled_store, parameters_of(pooled(labels={"kind": name, "parameters": of_kind})), FRAME
    ).recipe
    assert recipe["targets"] == list(TARGETS)
    assert recipe["class_edges"]["LEAD"] == {"900": [-4.0, 0.0, 4.0], "1800": [-4.0, 0.0, 4.0]}
    assert recipe["boundaries_bps"] == [-8.0, 0.0, 8.0], "of the primary target"
    for number, whole in enumerate(recipe["horizons"]):
        of_each = [target["horizons"][number]["class_distribution"] for target in recipe["by_target"]]
        for part, counts in whole["class_distribution"].items():
            assert counts == np.sum([each[part] for each in of_each], axis=0).tolist()
    assert recipe["by_target"][1]["horizons"][0]["class_names"][0] == "< -4"
    assert any(" (< -4) of LEAD has " in warning for warning in recipe["warnings"])
    assert any(" (< -8) of FOLLOW has " in warning for warning in recipe["warnings"])


def test_the_clock_speaks_of_the_primary_target(filled_store: ArtifactStore, parts: DatasetParts) -> None:
    for target, same in (("FOLLOW", True), ("LEAD", False)):
        clock = build_dataset(filled_store, parameters_of(alone(pooled(), target)), FRAME).arrays["clock"]
        assert np.array_equal(parts.arrays["clock"], clock) is same


def test_the_certificate_of_pooled_labels_holds(filled_store: ArtifactStore, parts: DatasetParts) -> None:
    assert audit_parts(filled_store, parts, SHIPPED).violations == ()


def test_the_certificate_makes_the_labels_of_every_target_again(
    filled_store: ArtifactStore, parts: DatasetParts
) -> None:
    def violated(changed: pl.DataFrame) -> list[str]:
        found = audit_parts(
            filled_store, DatasetParts(changed, parts.arrays, parts.recipe, parts.upstream), SHIPPED
        ).violations
        return [finding.rule for finding in found]

    of_lead = pl.col("instrument") == "LEAD"
    exchanged = parts.index.with_columns(instrument=pl.when(of_lead).then(pl.lit("FOLLOW")).otherwise(pl.lit("LEAD")))
    assert "labels follow from the mids at t0 and t1" in violated(exchanged)
    strangers = parts.index.with_columns(instrument=pl.when(of_lead).then(pl.lit("EXTRA")).otherwise("instrument"))
    assert "labels follow from the mids at t0 and t1" in violated(strangers)
    late = (
        of_lead & (pl.col("part") == "train") & (pl.col("t1") == pl.col("t1").filter(pl.col("part") == "train").max())
    )
    longer = parts.index.with_columns(t1=pl.when(late).then(pl.col("t1") + timedelta(hours=1)).otherwise("t1"))
    assert "no training label span overlaps a held-out one" in violated(longer), "of another target too"


class LeadKnowsTheFuture(PriceClasses):
    """Labels of LEAD whose validity depends on what follows their end."""

    def outcomes(self, ingredients, steps, horizon_seconds):
        found = super().outcomes(ingredients, steps, horizon_seconds)
        if ingredients.labelled != "LEAD":
            return found
        later = np.minimum(steps + horizon_seconds // 60 + 5, ingredients.series.steps - 1)
        mid = ingredients.series.mid[:, ingredients.target_position]
        valid = found.valid & (mid[later] > mid[steps])
        return type(found)(np.where(valid, found.return_bps, np.nan), found.t1_us, valid)


def test_a_label_kind_that_looks_ahead_for_one_pooled_target_is_found(
    filled_store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LABELS, "_known", dict(LABELS._known))
    LABELS.register("lead_knows")(LeadKnowsTheFuture)
    fixed = {"boundaries": {"kind": "fixed", "edges_bps": [0.0]}}
    parts = build_dataset(
        filled_store, parameters_of(pooled(labels={"kind": "lead_knows", "parameters": fixed})), FRAME
    )
    rules = [finding.rule for finding in audit_parts(filled_store, parts, SHIPPED).violations]
    assert rules == ["labels: noise after their end changes none of them"]


def test_an_opened_dataset_gives_the_primary_target_unless_another_is_asked_for(opened: Dataset) -> None:
    assert (opened.target, opened.targets) == ("FOLLOW", TARGETS)
    for asked, expected in ((None, "FOLLOW"), ("LEAD", "LEAD")):
        rows = opened.samples("train", on_stride_only=False, instrument=asked)
        assert set(rows["instrument"]) == {expected}
        segments = opened.segments("train", on_stride_only=False, instrument=asked)
        assert opened.index[np.concatenate([segment.rows for segment in segments])].equals(rows)
        sample = opened.sample("2024-01-05T12:00", instrument=asked, horizon_seconds=900)
        assert sample.instrument == expected
    assert {sample.instrument for sample in opened.each_sample("validation")} == set(TARGETS)
    with pytest.raises(ConfigError, match="no labels of 'EXTRA' -> one of FOLLOW, LEAD"):
        opened.samples("train", on_stride_only=True, instrument="EXTRA")


def test_pooling_shows_when_datasets_are_compared(filled_store: ArtifactStore, opened: Dataset) -> None:
    write_experiment(filled_store, "single", parameters_of(alone(pooled(), "FOLLOW")))
    found = {each.name: (each.left, each.right) for each in differences(open_dataset(filled_store, "single"), opened)}
    assert found["pooled_with"] == ("[]", "[LEAD]")
    assert found["class edges of LEAD over 900 s"][0] == ""
    assert found["samples of train of LEAD"][0] == ""
    assert found["samples of one alone"] == ("0", str(opened.index.filter(instrument="LEAD").height))
    assert "shared samples with another label" not in found


def test_pictures_of_a_pooled_dataset_name_its_targets(parts: DatasetParts) -> None:
    single = parts.recipe | {"targets": ["FOLLOW"]}
    assert draw_split(parts.recipe) != draw_split(single)
    assert draw_timeline(parts.index, parts.recipe).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pooled_with": ["FOLLOW"]}, "repeats an instrument or the target"),
        ({"pooled_with": ["LEAD", "LEAD"]}, "repeats an instrument or the target"),
        ({"pooled_with": ["EXTRA"]}, r"pooled_with names \['EXTRA'\]"),
    ],
)
def test_targets_that_cannot_be_pooled_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parameters_of(stated() | changed)


def test_labels_that_a_series_gives_to_one_instrument_are_not_pooled() -> None:
    classes = [{"name": "hold", "value": 0.0}, {"name": "enter", "value": 1.0}]
    given_labels = {"series": "signal", "span_seconds": 600, "max_age_seconds": 0, "classes": classes}
    with pytest.raises(ValidationError, match="which speaks of one instrument -> write pooled_with"):
        parameters_of(pooled(labels={"kind": "given", "parameters": given_labels}))
