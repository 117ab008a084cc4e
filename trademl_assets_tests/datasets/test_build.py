from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from trademl_assets.datasets.build import DatasetParts, build_dataset
from trademl_assets.datasets.plots import draw_classes, draw_timeline
from trademl_assets.foundation.errors import ConfigError, DataQualityError, MissingPartitionError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME, grid_day, write_daily_facts, write_experiment, write_grid_day
from trademl_assets_tests.datasets.examples import DAYS, FIRST, parameters_of, stated

INDEX_SCHEMA = {
    "sample": pl.Int64,
    "t0": pl.Datetime("us", "UTC"),
    "t1": pl.Datetime("us", "UTC"),
    "step": pl.Int64,
    "instrument": pl.String,
    "horizon_seconds": pl.Int32,
    "label": pl.Int8,
    "return_bps": pl.Float64,
    "sigma_bps": pl.Float64,
    "part": pl.String,
    "block": pl.Int16,
    "on_stride": pl.Boolean,
    "uniqueness": pl.Float32,
    "weight": pl.Float32,
    "regime": pl.String,
}


def series_of_target() -> tuple[np.ndarray, np.ndarray]:
    days = [grid_day(FIRST + timedelta(days=n), 0) for n in range(DAYS)]
    return np.concatenate([d["mid"][:, 2] for d in days]), np.concatenate([d["state"][:, 2] for d in days])


def test_the_index_holds_exactly_the_valid_decisions_of_every_part(example_parts: DatasetParts) -> None:
    mid, state = series_of_target()
    origin = datetime(2024, 1, 4, tzinfo=UTC)
    bounds = [(0, 48, "train"), (48, 60, "validation"), (60, 72, "calibration"), (72, 96, "test")]
    expected = []
    for first, last, part in bounds:
        for step in range(first * 60, last * 60, 5 if part == "train" else 10):
            end = step + 15
            if step >= 120 and end <= last * 60 and end < len(mid) and state[step] == 0 and state[end] == 0:
                # right after a held-out block comes no training here, so the embargo takes nothing
                bps = 1e4 * np.log(mid[end] / mid[step])
                expected.append((origin + timedelta(minutes=step), step, part, step % 10 == 0, bps))
    index = example_parts.index
    assert dict(index.schema) == INDEX_SCHEMA
    assert index.select("t0", "step", "part", "on_stride").rows() == [row[:4] for row in expected]
    assert index["return_bps"].to_numpy() == pytest.approx([row[4] for row in expected], abs=1e-9)
    assert index["sample"].to_list() == list(range(len(expected)))
    assert ((index["t1"] - index["t0"]) == timedelta(seconds=900)).all()


def test_labels_follow_quantiles_of_training_samples_on_the_stride(example_parts: DatasetParts) -> None:
    index, edges = example_parts.index, np.asarray(example_parts.recipe["boundaries_bps"])
    training = index.filter((pl.col("part") == "train") & pl.col("on_stride"))["return_bps"].to_numpy()
    assert edges == pytest.approx(np.quantile(training, [0.25, 0.5, 0.75]))
    bounds = np.r_[-np.inf, edges, np.inf]
    label, value = index["label"].to_numpy(), index["return_bps"].to_numpy()
    assert np.all((bounds[label] <= value) & (value < bounds[label + 1]))


def test_the_recipe_counts_what_was_left_out_and_what_the_parts_hold(example_parts: DatasetParts) -> None:
    recipe, index = example_parts.recipe, example_parts.index
    counts = recipe["counts"]
    left_out = sum(value for name, value in counts.items() if name != "candidates")
    assert counts["candidates"] - left_out == index.height
    assert counts["before_minimum_history"] == 24
    on_stride = index.filter(pl.col("on_stride"))
    for part, shares in recipe["class_distribution"].items():
        assert sum(shares) == on_stride.filter(pl.col("part") == part).height
    assert recipe["effective_samples"]["validation"] == pytest.approx(12 * 4, abs=4)
    assert any("fewer than 100" in warning for warning in recipe["warnings"])


def test_sigma_of_a_sample_is_the_trailing_sigma_over_its_horizon(example_parts: DatasetParts) -> None:
    row = example_parts.index.filter(pl.col("step") == 1400).row(0, named=True)
    mid, _ = series_of_target()
    recent = 1e4 * np.diff(np.log(mid[1340:1401]))
    assert row["sigma_bps"] == pytest.approx(np.sqrt((recent**2).mean() * 15))


def test_streams_that_are_null_are_left_out(filled_store: ArtifactStore) -> None:
    values = stated()
    values["streams"] = dict.fromkeys(values["streams"], None) | {"price": {"lookback": "PT1H"}, "additional": {}}
    parts = build_dataset(filled_store, parameters_of(values), FRAME)
    assert list(parts.recipe["streams"]) == ["price"]
    assert list(parts.arrays) == ["price"]
    assert list(parts.recipe["scaling"]) == ["price"]


def test_scaling_statistics_come_from_training_rows(example_parts: DatasetParts) -> None:
    price = example_parts.arrays["price"][: 2 * 1440]
    center = np.asarray(example_parts.recipe["scaling"]["price"]["center"])
    assert center == pytest.approx(np.median(price, axis=0), abs=0.25)


def test_book_statistics_leave_out_steps_where_the_instrument_is_missing(filled_store: ArtifactStore) -> None:
    values = stated()
    values["scaling"]["rows_at_most"] = 10_000
    values["streams"] |= {"price": None, "long_term": None, "clock": None, "mask": None}
    recipe = build_dataset(filled_store, parameters_of(values), FRAME).recipe
    days = [grid_day(FIRST + timedelta(days=n), 0) for n in range(2)]
    book = np.concatenate([day["book"] for day in days]).reshape(-1, 5, 3, 4).astype(np.float64)
    state = np.concatenate([day["state"] for day in days])
    center = np.asarray(recipe["scaling"]["book"]["center"]).reshape(5, 2, 4)
    for column, instrument in enumerate((0, 2)):
        known = book[state[:, instrument] != 2, :, instrument]
        assert center[:, column].tolist() == np.median(known, axis=0).tolist()


def test_a_sample_knows_the_regime_of_the_day_before(example_parts: DatasetParts) -> None:
    regimes = ("bull", "bear", "sideways", "high_volatility")
    for day, regime in example_parts.index.select(pl.col("t0").dt.date(), "regime").unique().rows():
        assert regime == regimes[(day.toordinal() - 1) % 4]


def test_the_long_term_rows_of_a_day_are_those_of_the_days_before_it(example_parts: DatasetParts) -> None:
    assert example_parts.arrays["long_term"].shape == (3 + DAYS - 1, 3, 2)
    assert example_parts.recipe["streams"]["long_term"]["columns"] == ["mean_bps", "log1p_volume", "present"]
    scaling = example_parts.recipe["scaling"]["long_term"]
    assert (scaling["center"][-1], scaling["scale"][-1]) == ([0.0, 0.0], [1.0, 1.0]), "a flag is not scaled"


def test_the_same_inputs_give_the_same_content(tmp_path: Path, filled_store: ArtifactStore) -> None:
    first = filled_store.manifest("dataset", "example")
    if first is None:
        write_experiment(filled_store, "example", parameters_of(stated()))
        first = filled_store.require("dataset", "example")
    other = ArtifactStore.at(tmp_path)
    for number in range(-3, DAYS):
        write_daily_facts(other, FIRST + timedelta(days=number))
        if number >= 0:
            write_grid_day(other, FIRST + timedelta(days=number))
    write_experiment(other, "example", parameters_of(stated()))
    assert other.require("dataset", "example").content_hash == first.content_hash


def test_datasets_share_a_feature_pipeline_where_labels_split_and_weights_alone_differ(
    example_parts: DatasetParts,
) -> None:
    found, other = parameters_of(stated()).feature_pipeline_id, stated()
    assert example_parts.recipe["feature_pipeline_id"] == found
    other["labels"]["horizons_seconds"] = [600]
    other["split"]["embargo_seconds"] = 7200
    other["weights"] = {"parts": [{"kind": "uniqueness"}]}
    assert parameters_of(other).feature_pipeline_id == found
    other["sigma"]["floor_bps"] = 0.02
    assert parameters_of(other).feature_pipeline_id != found


def test_a_missing_grid_day_is_named(tmp_path: Path) -> None:
    store = ArtifactStore.at(tmp_path)
    write_grid_day(store, FIRST)
    with pytest.raises(MissingPartitionError, match=r"aligned_grid.*2024-01-05, 2024-01-06, 2024-01-07"):
        build_dataset(store, parameters_of(stated()), FRAME)


def test_a_missing_day_of_the_look_back_is_refused_or_marked(filled_store: ArtifactStore) -> None:
    values = stated()
    values["streams"]["long_term"]["lookback_days"] = 5
    with pytest.raises(MissingPartitionError, match=r"daily_aggregates/2023-12-30, daily_aggregates/2023-12-31"):
        build_dataset(filled_store, parameters_of(values), FRAME)
    values["streams"]["long_term"]["missing_days"] = "mark"
    parts = build_dataset(filled_store, parameters_of(values), FRAME)
    stream = parts.arrays["long_term"]
    assert stream[:, -1, 0].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    center = np.asarray(parts.recipe["scaling"]["long_term"]["center"], np.float32)
    assert stream[0, :-1].tolist() == center[:-1].tolist()


def test_parameters_that_do_not_fit_the_grid_are_refused(filled_store: ArtifactStore) -> None:
    values = stated()
    values["labels"]["horizons_seconds"] = [901]
    with pytest.raises(ConfigError, match=r"labels\.horizons_seconds .* grid steps of 60 s"):
        build_dataset(filled_store, parameters_of(values), FRAME)
    values = stated()
    values["instruments"] = ["FOLLOW", "NOBODY"]
    with pytest.raises(ConfigError, match=r"NOBODY.*LEAD"):
        build_dataset(filled_store, parameters_of(values), FRAME)


def test_a_part_without_samples_is_refused(filled_store: ArtifactStore) -> None:
    values = stated()
    values["split"]["blocks"][1]["length"] = "PT10M"
    with pytest.raises(DataQualityError, match=r"part 'validation' of FOLLOW has no sample.*purged"):
        build_dataset(filled_store, parameters_of(values), FRAME)


def test_blocks_must_fit_into_the_days() -> None:
    values = stated()
    values["split"]["blocks"][0]["length"] = "P3D"
    with pytest.raises(ValidationError, match="after last_day 2024-01-07"):
        parameters_of(values)


def test_one_hour_of_a_second_grid_style_split_starts_at_its_first_instant(filled_store: ArtifactStore) -> None:
    values = stated() | {"first_instant": "2024-01-04T12:00:00Z", "minimum_history": "PT0S", "last_day": "2024-01-04"}
    values["labels"] |= {"horizons_seconds": [120], "decision_stride_seconds": 60, "training_phase_seconds": 60}
    lengths = ("PT2H", "PT1H", "PT30M", "PT1H")
    for block, length in zip(values["split"]["blocks"], lengths, strict=True):
        block["length"] = length
    values["segments"] = {"length": "PT1H", "anchor_lookback": "PT1H"}
    parts = build_dataset(filled_store, parameters_of(values), FRAME)
    assert parts.index["t0"][0] == datetime(2024, 1, 4, 12, tzinfo=UTC)
    assert parts.index["t1"][-1] <= datetime(2024, 1, 4, 16, 30, tzinfo=UTC)
    assert parts.recipe["segments"] == {"start_step": 720, "length_steps": 60, "lookback_steps": 60}
    assert parts.recipe["effective_samples"]["train"] == pytest.approx(60.0)
    assert parts.recipe["counts"]["candidates"] == 270, "nothing beyond the last block"
    assert parts.recipe["counts"]["outside_blocks"] == 0


def test_pictures_are_png_and_deterministic(example_parts: DatasetParts) -> None:
    timeline = draw_timeline(example_parts.index, example_parts.recipe)
    assert timeline.startswith(b"\x89PNG")
    assert timeline == draw_timeline(example_parts.index, example_parts.recipe)
    assert draw_classes(example_parts.recipe).startswith(b"\x89PNG")
