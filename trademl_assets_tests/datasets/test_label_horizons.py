"""Datasets of every kind of label and of several horizons, built, audited and opened."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.build import DatasetParts, build_dataset
from trademl_assets.datasets.leakage import SHIPPED, audit_parts
from trademl_assets.datasets.plots import draw_classes
from trademl_assets.datasets.sample_index import stated_edges
from trademl_assets.datasets.uniqueness import mean_uniqueness
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.calendar import day_start
from trademl_assets.foundation.errors import ConfigError, DataQualityError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance
from trademl_assets_tests.datasets.conftest import FRAME, make_store, write_experiment
from trademl_assets_tests.datasets.examples import DAYS, FIRST, parameters_of, stated

HORIZONS = [900, 300, 1800]
SIGMA_BARRIERS = {
    "side": "long",
    "barriers": {"kind": "sigma"},
    "target": 1.0,
    "stop": 1.0,
    "max_path_gap_seconds": 240,
}
GIVEN = {
    "series": "signal",
    "span_seconds": 600,
    "max_age_seconds": 0,
    "classes": [{"name": "hold", "value": 0.0}, {"name": "enter", "value": 1.0}],
}
KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "scaled": ("price_classes", {"boundaries": {"kind": "volatility_scaled_quantile", "classes": 3}}, 3),
    "returns": ("future_return", {"edges_bps": None}, 0),
    "returns in classes": ("future_return", {"edges_bps": [-5.0, 5.0]}, 3),
    "barriers of sigma": ("triple_barrier", SIGMA_BARRIERS, 3),
    "barriers of ranges": (
        "triple_barrier",
        SIGMA_BARRIERS
        | {"side": "short", "barriers": {"kind": "average_true_range", "bar_seconds": 120, "bars": 10}, "stop": 2.0},
        3,
    ),
    "moves": (
        "next_move",
        {
            "threshold": {"kind": "return_bps", "value": 8.0},
            "without_move": "left_out",
            "max_path_gap_seconds": 60,
        },
        2,
    ),
    "given": ("given", GIVEN, 2),
}


WEIGHTS = [{"kind": "uniqueness"}, {"kind": "balanced_classes"}, {"kind": "exponential_age", "half_life_days": 1.0}]


def with_labels(**labels: Any) -> Any:
    values = stated() | {"weights": {"parts": labels.pop("weights", [])}}
    values["labels"] |= labels
    return parameters_of(values)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """The example store with a series of signals, published five minutes after what they are about."""
    filled = make_store(tmp_path_factory.mktemp("store"))
    about = [day_start(FIRST) + timedelta(minutes=5 * number) for number in range(288 * DAYS)]
    values = np.random.default_rng(0).integers(0, 2, len(about)).astype(np.float64)
    table = pl.DataFrame(
        {
            "name": ["signal"] * len(about),
            "ts": pl.Series(about, dtype=pl.Datetime("us", "UTC")),
            "published": pl.Series([each + timedelta(minutes=5) for each in about], dtype=pl.Datetime("us", "UTC")),
            "value": values,
        }
    )
    provenance = Provenance(code_version="1", config_fingerprint="f", upstream={})
    with filled.write("external_series", "signal", schema_version=1, provenance=provenance) as writer:
        writer.table("data", table)
        writer.rows(table.height)
    return filled


@pytest.fixture(scope="module")
def horizons(store: ArtifactStore) -> DatasetParts:
    return write_experiment(store, "horizons", with_labels(horizons_seconds=HORIZONS))


@pytest.fixture(scope="module")
def opened(store: ArtifactStore, horizons: DatasetParts) -> Dataset:
    assert horizons.index.height
    return open_dataset(store, "horizons")


@pytest.mark.parametrize("name", KINDS)
def test_datasets_of_every_kind_of_label_are_honest(store: ArtifactStore, name: str) -> None:
    kind, parameters, classes = KINDS[name]
    parts = build_dataset(store, with_labels(kind=kind, parameters=parameters), FRAME)

    assert audit_parts(store, parts, SHIPPED).violations == ()
    assert len(parts.recipe["class_names"]) == parts.recipe["classes"] == classes
    assert set(parts.index["label"].drop_nulls()) == set(range(classes))
    assert parts.index["label"].null_count() == (0 if classes else parts.index.height)
    assert (parts.index["t1"] - parts.index["t0"]).max() <= timedelta(seconds=900)
    assert draw_classes(parts.recipe).startswith(b"\x89PNG")


def test_labels_of_several_horizons_are_honest(store: ArtifactStore, horizons: DatasetParts) -> None:
    assert audit_parts(store, horizons, SHIPPED).violations == ()
    wrong = horizons.index.with_columns(
        label=pl.when(pl.col("horizon_seconds") == 1800).then(0).otherwise("label").cast(pl.Int8)
    )
    found = audit_parts(store, DatasetParts(wrong, horizons.arrays, horizons.recipe, horizons.upstream), SHIPPED)
    assert [finding.rule for finding in found.violations] == ["labels follow from the mids at t0 and t1"]


def test_every_horizon_is_labelled_purged_and_weighed_as_if_it_were_alone(
    store: ArtifactStore, horizons: DatasetParts
) -> None:
    weighed = build_dataset(store, with_labels(horizons_seconds=HORIZONS, weights=WEIGHTS), FRAME)
    for horizon in HORIZONS:
        alone = build_dataset(store, with_labels(horizons_seconds=[horizon], weights=WEIGHTS), FRAME)
        rows = weighed.index.filter(pl.col("horizon_seconds") == horizon)
        assert rows.drop("sample").equals(alone.index.drop("sample"))
        assert rows["weight"].n_unique() > 100
        edges = stated_edges(horizons.recipe)["FOLLOW"][horizon]
        assert edges.tolist() == stated_edges(alone.recipe)["FOLLOW"][horizon].tolist()
    assert horizons.index["t0"].is_sorted()
    assert horizons.index["sample"].to_list() == list(range(horizons.index.height))
    assert horizons.recipe["boundaries_bps"] == stated_edges(horizons.recipe)["FOLLOW"][900].tolist()


def test_the_recipe_states_classes_and_warnings_of_every_horizon(horizons: DatasetParts) -> None:
    recipe, on_stride = horizons.recipe, horizons.index.filter("on_stride")
    assert [entry["horizon_seconds"] for entry in recipe["horizons"]] == HORIZONS
    for entry in recipe["horizons"]:
        rows = on_stride.filter(pl.col("horizon_seconds") == entry["horizon_seconds"])
        assert entry["samples"] == dict(rows.group_by("part", maintain_order=True).len().rows())
        assert {part: sum(shares) for part, shares in entry["class_distribution"].items()} == entry["samples"]
        assert any(f"over {entry['horizon_seconds']} s" in warning for warning in recipe["warnings"])
    assert recipe["class_distribution"] == recipe["horizons"][0]["class_distribution"]
    left_out = sum(value for name, value in recipe["counts"].items() if name != "candidates")
    assert recipe["counts"]["candidates"] - left_out == horizons.index.height
    primary = recipe["horizons"][0]["samples"]["test"]
    assert sum(block["on_stride"] for block in recipe["blocks"] if block["part"] == "test") == primary


def test_models_see_the_primary_horizon_unless_another_is_asked_for(opened: Dataset) -> None:
    assert opened.horizon_seconds == 900
    for horizon, expected in ((None, 900), (1800, 1800)):
        rows = opened.samples("train", on_stride_only=False, horizon_seconds=horizon)
        assert set(rows["horizon_seconds"]) == {expected}
    rows = np.concatenate([segment.rows for segment in opened.segments("train", on_stride_only=False)])
    assert opened.index[rows].equals(opened.samples("train", on_stride_only=False))
    sample = opened.sample("2024-01-05T12:00:00", horizon_seconds=1800)
    assert sample.t1 - sample.t0 == timedelta(minutes=30)


def test_uniqueness_is_that_of_training_labels_of_the_horizon_and_held_out_rows_weigh_one(store: ArtifactStore) -> None:
    index = build_dataset(store, with_labels(weights=WEIGHTS), FRAME).index
    train, held_out = (index.filter((pl.col("part") == "train") == inside) for inside in (True, False))
    t0, t1 = (train[name].to_physical().to_numpy() for name in ("t0", "t1"))
    assert train["uniqueness"].to_numpy() == pytest.approx(mean_uniqueness(t0, t1), rel=1e-6)
    assert train["uniqueness"].mean() < 0.5, "labels of 15 minutes every 5 overlap"
    assert train["weight"].mean() == pytest.approx(1.0, rel=1e-6)
    assert held_out.select(pl.col("uniqueness", "weight").unique()).row(0) == (1.0, 1.0)


def test_decisions_may_fall_on_any_minutes(store: ArtifactStore) -> None:
    parameters = with_labels(decision_stride_seconds=420, decision_phase_seconds=180, training_phase_seconds=420)
    minutes = build_dataset(store, parameters, FRAME).index["step"].to_numpy() % 1440
    assert set(minutes % 7) == {3}
    assert minutes.max() > 1430


def test_a_dataset_of_returns_alone_has_no_classes_to_ask_for(store: ArtifactStore) -> None:
    write_experiment(store, "returns", with_labels(kind="future_return", parameters={"edges_bps": None}))
    returns = open_dataset(store, "returns")
    assert (returns.classes, returns.class_names) == (0, ())
    with pytest.raises(ConfigError, match=r"'future_return' are not cut by the return in bps \(classes: none\)"):
        assert returns.boundaries_bps
    values = stated() | {"weights": {"parts": [{"kind": "balanced_classes"}]}}
    values["labels"] |= {"kind": "future_return", "parameters": {"edges_bps": None}}
    with pytest.raises(ConfigError, match="balanced_classes"):
        build_dataset(store, parameters_of(values), FRAME)


def test_horizons_that_repeat_or_are_cut_short_and_phases_beyond_the_stride_are_refused(store: ArtifactStore) -> None:
    with pytest.raises(ValueError, match=r"horizons_seconds repeat: \[900, 900\]"):
        with_labels(horizons_seconds=[900, 900])
    with pytest.raises(ValueError, match=r"decision_phase_seconds \(600\) must be less"):
        with_labels(decision_phase_seconds=600)
    with pytest.raises(DataQualityError, match=r"part 'validation' of FOLLOW has no sample of 43800 s"):
        build_dataset(store, with_labels(horizons_seconds=[900, 43_800]), FRAME)
