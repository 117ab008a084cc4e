from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from trademl_assets.datasets.build import build_dataset
from trademl_assets.datasets.label_kinds import LABELS, LabelKind, Outcomes
from trademl_assets.datasets.labels import forward_outcomes
from trademl_assets.datasets.leakage import SHIPPED, audit_parts
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME
from trademl_assets_tests.datasets.examples import parameters_of, stated

ENDS = "labels: noise after their end changes none of them"


class NoParameters(Parameters):
    pass


class Sign(LabelKind):
    """Two classes of the return over the horizon; the kinds of these tests change one thing of it each."""

    parameters = NoParameters

    def __init__(self, parameters: NoParameters) -> None:
        self.settings = parameters

    def outcomes(self, ingredients: Any, steps: np.ndarray, horizon_seconds: int) -> Outcomes:
        return forward_outcomes(ingredients, steps, horizon_seconds)

    def fit_boundaries(self, training: Outcomes, instrument: str) -> np.ndarray:  # noqa: ARG002 -- the contract's signature
        return np.zeros(1)

    def classify(self, outcomes: Outcomes, boundaries: np.ndarray) -> np.ndarray:
        return (outcomes.return_bps >= boundaries[0]).astype(np.int8)


@dataclass(frozen=True)
class WithLater(Outcomes):
    later: np.ndarray


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Any]], DatasetParameters]:
    """Parameters of the example dataset with labels of a kind that exists for one test."""
    monkeypatch.setattr(LABELS, "_known", dict(LABELS._known))

    def with_kind(kind: type[Any]) -> DatasetParameters:
        LABELS.register("planted")(kind)
        values = stated()
        values["labels"] |= {"kind": "planted", "parameters": {}}
        return parameters_of(values)

    return with_kind


def violations(store: ArtifactStore, parameters: DatasetParameters) -> set[str]:
    report = audit_parts(store, build_dataset(store, parameters, FRAME), SHIPPED)
    return {finding.rule for finding in report.violations}


def test_an_unknown_kind_is_refused_at_its_key_with_those_there_are() -> None:
    values = stated()
    values["labels"]["kind"] = "price_class"
    with pytest.raises(ValidationError) as caught:
        parameters_of(values)
    found = {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}
    assert set(found) == {"labels.kind", "labels.parameters"}
    assert (
        "unknown label kind 'price_class' -> choose one of future_return, given, next_move, price_classes"
        in found["labels.kind"]
    )


def test_parameters_of_the_kind_survive_a_round_trip() -> None:
    parameters = parameters_of(stated())
    assert parameters_of(parameters.model_dump(mode="json")).fingerprint() == parameters.fingerprint()
    assert parameters.model_dump(mode="json")["labels"] == stated()["labels"]


def test_a_registered_kind_labels_an_honest_dataset(
    filled_store: ArtifactStore, labelled: Callable[[type[Any]], DatasetParameters]
) -> None:
    parameters = labelled(Sign)
    parts = build_dataset(filled_store, parameters, FRAME)
    assert parts.index["label"].to_list() == (parts.index["return_bps"] >= 0).cast(pl.Int8).to_list()
    assert (parts.recipe["boundaries_bps"], parts.recipe["labels"]["kind"]) == ([0.0], "planted")
    assert violations(filled_store, parameters) == set()


def test_labels_may_end_at_different_times(
    filled_store: ArtifactStore, labelled: Callable[[type[Any]], DatasetParameters]
) -> None:
    class Earlier(Sign):
        def outcomes(self, ingredients: Any, steps: np.ndarray, horizon_seconds: int) -> Outcomes:
            short = forward_outcomes(ingredients, steps, 300)
            long = forward_outcomes(ingredients, steps, horizon_seconds)
            soon = steps % 2 == 0
            columns = (
                (getattr(a, n), getattr(b, n)) for n in ("return_bps", "t1_us", "valid") for a, b in [(short, long)]
            )
            return Outcomes(*(np.where(soon, a, b) for a, b in columns))

    parameters = labelled(Earlier)
    index = build_dataset(filled_store, parameters, FRAME).index
    seconds = (index["t1"] - index["t0"]).dt.total_seconds()
    assert seconds.to_list() == [300 if step % 2 == 0 else 900 for step in index["step"]]
    assert violations(filled_store, parameters) == set()


def test_boundaries_are_fitted_on_training_decisions_of_the_stride_alone(
    filled_store: ArtifactStore, labelled: Callable[[type[Any]], DatasetParameters]
) -> None:
    shown: list[Outcomes] = []

    class Watching(Sign):
        def fit_boundaries(self, training: Outcomes, instrument: str) -> np.ndarray:  # noqa: ARG002 -- the same
            shown.append(training)
            return np.median(training.return_bps, keepdims=True)

    parts = build_dataset(filled_store, labelled(Watching), FRAME)
    training = parts.index.filter((pl.col("part") == "train") & pl.col("on_stride"))
    assert all(outcomes.return_bps.tolist() == training["return_bps"].to_list() for outcomes in shown)
    assert parts.recipe["boundaries_bps"] == [training["return_bps"].median()]


def test_a_label_that_looks_beyond_its_end_is_found(
    filled_store: ArtifactStore, labelled: Callable[[type[Any]], DatasetParameters]
) -> None:
    class Understated(Sign):
        """Classes say where the mid stands a minute after the label's end."""

        def classify(self, outcomes: Any, boundaries: np.ndarray) -> np.ndarray:  # noqa: ARG002 -- the same
            return outcomes.later

        def outcomes(self, ingredients: Any, steps: np.ndarray, horizon_seconds: int) -> Outcomes:
            honest = forward_outcomes(ingredients, steps, horizon_seconds)
            beyond = np.minimum(steps + 16, ingredients.series.steps - 1)
            mid = ingredients.series.mid[:, ingredients.target_position]
            return WithLater(honest.return_bps, honest.t1_us, honest.valid, (mid[beyond] > mid[steps]).astype(np.int8))

    assert violations(filled_store, labelled(Understated)) == {ENDS}


def test_a_label_that_is_kept_only_where_what_follows_is_calm_is_found(
    filled_store: ArtifactStore, labelled: Callable[[type[Any]], DatasetParameters]
) -> None:
    class Choosy(Sign):
        def outcomes(self, ingredients: Any, steps: np.ndarray, horizon_seconds: int) -> Outcomes:
            honest = forward_outcomes(ingredients, steps, horizon_seconds)
            later = forward_outcomes(ingredients, np.minimum(steps + 15, ingredients.series.steps - 1), horizon_seconds)
            return replace(honest, valid=honest.valid & ~(np.abs(later.return_bps) > 200))

    assert violations(filled_store, labelled(Choosy)) == {ENDS}


def test_a_return_that_is_not_that_of_the_mids_is_found(
    filled_store: ArtifactStore, labelled: Callable[[type[Any]], DatasetParameters]
) -> None:
    class Percent(Sign):
        def outcomes(self, ingredients: Any, steps: np.ndarray, horizon_seconds: int) -> Outcomes:
            honest = forward_outcomes(ingredients, steps, horizon_seconds)
            return replace(honest, return_bps=honest.return_bps / 100)

    assert violations(filled_store, labelled(Percent)) == {"labels follow from the mids at t0 and t1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda o: replace(o, t1_us=o.t1_us + 60_000_000),
            r"from 960.0 to 960.0 s -> .*labels.horizons_seconds \(900\)",
        ),
        (lambda o: replace(o, t1_us=o.t1_us - 900_000_000), "must end after their decision"),
        (lambda o: replace(o, valid=np.ones_like(o.valid)), "valid must be false there"),
        (lambda o: o.at(np.arange(3)), "one value a decision"),
    ],
)
def test_outcomes_that_break_the_contract_are_refused(
    filled_store: ArtifactStore,
    labelled: Callable[[type[Any]], DatasetParameters],
    change: Callable[[Outcomes], Outcomes],
    message: str,
) -> None:
    class Broken(Sign):
        def outcomes(self, ingredients: Any, steps: np.ndarray, horizon_seconds: int) -> Outcomes:
            return change(forward_outcomes(ingredients, steps, horizon_seconds))

    with pytest.raises(ConfigError, match=message):
        build_dataset(filled_store, labelled(Broken), FRAME)


@pytest.mark.parametrize("edges", [[], [1.0, 1.0], [np.nan], [2.0, 1.0]])
def test_edges_that_make_no_classes_are_refused(
    filled_store: ArtifactStore, labelled: Callable[[type[Any]], DatasetParameters], edges: list[float]
) -> None:
    class Broken(Sign):
        def fit_boundaries(self, training: Outcomes, instrument: str) -> np.ndarray:  # noqa: ARG002 -- the contract's signature
            return np.asarray(edges)

    with pytest.raises(ConfigError, match="must be finite, increase strictly"):
        build_dataset(filled_store, labelled(Broken), FRAME)


def test_classes_that_the_edges_do_not_make_are_refused(
    filled_store: ArtifactStore, labelled: Callable[[type[Any]], DatasetParameters]
) -> None:
    class Broken(Sign):
        def classify(self, outcomes: Outcomes, boundaries: np.ndarray) -> np.ndarray:
            return super().classify(outcomes, boundaries) * np.int8(2)

    with pytest.raises(ConfigError, match="its 2 class names are those of int8 classes from 0 to 1"):
        build_dataset(filled_store, labelled(Broken), FRAME)
