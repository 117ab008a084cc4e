from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from trademl_assets.datasets.controls import (
    ControlMaterial,
    ControlRows,
    plant_signal,
    read_control_material,
    shuffle_labels_by_day,
    walk_randomly,
)
from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.evaluation.control_learner import fit_honestly, fit_logistic
from trademl_assets.evaluation.leakage_controls import PLANTED, SHUFFLED, WALK, judge_control, run_controls
from trademl_assets.foundation.parameters import Parameters
from trademl_assets_tests.datasets.conftest import make_store, write_experiment
from trademl_assets_tests.datasets.examples import parameters_of, stated
from trademl_assets_tests.evaluation.examples import evaluation_parameters

DAY_US = 86_400_000_000
EVALUATION = evaluation_parameters(bootstrap_replicates=200)


class NoParameters(Parameters):
    pass


class Foresight:
    """The target's return over the next fifteen minutes: what no stream may know."""

    parameters = NoParameters
    external_series: tuple[str, ...] = ()

    def __init__(self, parameters: NoParameters) -> None:
        del parameters

    def columns(self, instruments: Sequence[str]) -> tuple[str, ...]:
        return (f"{instruments[-1]}:foresight",)

    def compute(self, ingredients: Ingredients) -> np.ndarray:
        mid = ingredients.series.mid[:, ingredients.target_position]
        later = mid[np.minimum(np.arange(len(mid)) + 15, len(mid) - 1)]
        return np.nan_to_num(1e4 * np.log(later / mid))[:, None].astype(np.float32)


def described() -> dict[str, Any]:
    """The example with a day and a half of validation."""
    values = stated()
    lengths = {"train": "P2D", "validation": "P1DT12H", "calibration": "PT6H", "test": "PT6H"}
    values["split"]["blocks"] = [{"part": part, "length": length} for part, length in lengths.items()]
    values["audit"]["controls"] |= {"penalties": [0.1, 1.0], "draws": 3}
    return values


def material_of(root: Path, parameters: DatasetParameters) -> ControlMaterial:
    store = make_store(root)
    write_experiment(store, "example", parameters)
    return read_control_material(store, "example")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> ControlMaterial:
    """The example dataset, whose mids are random walks and whose labels cover two horizons."""
    values = described()
    values["labels"]["horizons_seconds"] = [900, 1800]
    return material_of(tmp_path_factory.mktemp("honest"), parameters_of(values))


@pytest.fixture
def foreseeing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ControlMaterial:
    monkeypatch.setattr(STREAMS, "_known", dict(STREAMS._known))
    STREAMS.register("foresight")(Foresight)
    values = described()
    values["streams"]["additional"] = {"foresight": {"kind": "foresight", "lookback": "PT1H", "parameters": {}}}
    return material_of(tmp_path, parameters_of(values))


def results(table: pl.DataFrame) -> dict[str, list[str]]:
    return {name: rows["result"].to_list() for (name,), rows in table.group_by("control", maintain_order=True)}


def test_an_honest_dataset_has_skill_only_where_it_was_planted(honest: ControlMaterial) -> None:
    table = run_controls(honest, EVALUATION)

    assert results(table) == {name: ["holds", "holds"] for name in (SHUFFLED, WALK, PLANTED)}
    assert table["horizon_seconds"].to_list() == [900] * 3 + [1800] * 3
    assert ((table["low"] <= table["skill_nats"]) & (table["skill_nats"] <= table["high"])).all()
    assert (table.filter(control=PLANTED)["low"] > 0).all()


def test_a_stream_that_knows_the_future_has_skill_on_random_walks(foreseeing: ControlMaterial) -> None:
    table = run_controls(foreseeing, EVALUATION)

    assert results(table) == {SHUFFLED: ["holds"], WALK: ["violated"], PLANTED: ["holds"]}


def test_labels_that_were_not_really_shuffled_are_told_by_their_skill(foreseeing: ControlMaterial) -> None:
    rows = foreseeing.rows(900, 1000)
    controls = foreseeing.ingredients.parameters.audit.controls
    judged = [
        judge_control(SHUFFLED, 900, "no skill", [drawn], evaluation=EVALUATION, parameters=controls).result
        for drawn in (rows, shuffle_labels_by_day(rows, np.random.default_rng(0)))
    ]
    assert judged == ["violated", "holds"]


def test_a_dataset_without_classes_says_that_it_was_not_audited(honest: ControlMaterial) -> None:
    table = run_controls(replace(honest, classes=0), EVALUATION, walk=lambda material, _: material)

    assert table["result"].unique().to_list() == ["not audited"]
    assert table["skill_nats"].null_count() == table.height


def test_a_random_walk_keeps_gaps_and_looks_and_is_another_path(honest: ControlMaterial) -> None:
    walked = walk_randomly(honest, np.random.default_rng(0)).ingredients.series
    series = honest.ingredients.series

    assert walked.state.tobytes() == series.state.tobytes()
    assert np.array_equal(np.isnan(walked.mid), np.isnan(series.mid))
    filled = series.state == 1
    assert (walked.mid[filled] == np.roll(walked.mid, 1, axis=0)[filled]).all()
    steps = [np.diff(np.log(one.mid[550:1400, 0])) for one in (walked, series)]
    assert np.std(steps[0]) == pytest.approx(np.std(steps[1]), rel=0.2)
    assert abs(np.corrcoef(*steps)[0, 1]) < 0.15


def rows_of(days: Sequence[int], per_day: int, classes: int = 3) -> ControlRows:
    t0 = np.concatenate([day * DAY_US + np.arange(per_day) * 3_600_000_000 for day in days])
    labels = np.random.default_rng(len(t0)).integers(0, classes, len(t0))
    features = np.zeros((len(t0), 1), np.float32)
    return ControlRows(features, labels, classes, t0, t0 + 1, np.arange(len(t0)) < len(t0) * 2 // 3, (), "ONE")


@given(st.sets(st.integers(0, 40), min_size=1, max_size=9), st.integers(1, 24), st.integers(0, 99))
def test_shuffling_moves_labels_within_their_part_only(days: set[int], per_day: int, seed: int) -> None:
    rows = rows_of(sorted(days), per_day)

    shuffled = shuffle_labels_by_day(rows, np.random.default_rng(seed))

    for part in (rows.training, ~rows.training):
        assert sorted(shuffled.labels[part]) == sorted(rows.labels[part])
    assert replace(shuffled, labels=rows.labels).t0_us is rows.t0_us


def test_a_planted_column_has_the_stated_correlation() -> None:
    rows = rows_of(range(400), 24)
    planted = plant_signal(rows, 0.5, np.random.default_rng(1))
    assert np.corrcoef(planted.features[:, -1], rows.labels)[0, 1] == pytest.approx(0.5, abs=0.02)
    assert planted.features[:, :-1].tolist() == rows.features.tolist()


def test_the_learner_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(3)
    features = random.normal(size=(400, 4)) * [1.0, 5.0, 0.1, 1.0]
    labels = (features[:, 0] + random.normal(size=400) > 0).astype(np.int64) + (features[:, 1] > 4)
    model = fit_logistic(features, labels, 3, 0.05, 1.0)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    oracle = LogisticRegression(C=1 / (0.05 * 400), tol=1e-9, max_iter=10_000).fit(standard, labels)
    assert model.predict(features) == pytest.approx(oracle.predict_proba(standard), abs=1e-3)


def test_features_that_say_nothing_leave_the_prior() -> None:
    random = np.random.default_rng(4)
    features, labels = random.normal(size=(300, 20)), random.integers(0, 3, 300)
    spans = (np.arange(300), np.arange(300) + 1)
    model = fit_honestly(features, labels, spans, 3, groups=[], penalties=(0.001,), pseudo_counts=5)
    assert not model.weights.any()
    assert np.ptp(model.predict(features), axis=0) == pytest.approx(0)
