"""Lagged targets: refused at start-up where they declare a lag below the horizon, found where they do not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from trademl_assets.datasets.build import build_dataset
from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.leakage import SHIPPED, audit_parts, stated_parameters
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME
from trademl_assets_tests.datasets.examples import parameters_of, stated

HORIZON = 900
RULE = "targets: lagged targets lie at least a horizon back"
UNMOVED = "targets: noise after a cut changes nothing before it"
WithLag = Callable[..., DatasetParameters]


class LagParameters(Parameters):
    lag_seconds: int
    declared: bool


class LaggedTarget:
    """What the target's decision of `lag_seconds` ago came to over the horizon."""

    parameters = LagParameters
    external_series: tuple[str, ...] = ()

    def __init__(self, parameters: LagParameters) -> None:
        self._parameters = parameters

    @property
    def lagged_target_seconds(self) -> tuple[int, ...]:
        return (self._parameters.lag_seconds, 3600) if self._parameters.declared else ()

    def columns(self, instruments: Sequence[str]) -> tuple[str, ...]:
        return (f"{instruments[-1]}:lagged_target",)

    def compute(self, ingredients: Ingredients) -> np.ndarray:
        mid = ingredients.series.mid[:, ingredients.target_position]
        lag, horizon = self._parameters.lag_seconds // 60, HORIZON // 60
        values = np.zeros(len(mid))
        ended = np.arange(lag, len(mid)) - lag + horizon
        reachable = np.minimum(ended, len(mid) - 1)
        values[lag:] = np.where(ended < len(mid), np.log(mid[reachable] / mid[ended - horizon]), 0.0)
        return np.nan_to_num(1e4 * values)[:, None].astype(np.float32)


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> WithLag:
    monkeypatch.setattr(STREAMS, "_known", dict(STREAMS._known))
    STREAMS.register("lagged_target")(LaggedTarget)

    def with_lag(lag_seconds: int, *, declared: bool) -> DatasetParameters:
        values: dict[str, Any] = stated()
        own = {"lag_seconds": lag_seconds, "declared": declared}
        values["streams"]["additional"] = {"targets": {"kind": "lagged_target", "lookback": "PT2H", "parameters": own}}
        return parameters_of(values)

    return with_lag


def test_a_declared_lag_below_the_horizon_is_refused_at_start_up(lagging: WithLag) -> None:
    with pytest.raises(
        ValidationError, match=r"stream 'targets' carries targets lagged by \[840\] s, which last 900 s"
    ):
        lagging(840, declared=True)


def test_a_declared_lag_of_the_horizon_passes(filled_store: ArtifactStore, lagging: WithLag) -> None:
    report = audit_parts(filled_store, build_dataset(filled_store, lagging(HORIZON, declared=True), FRAME), SHIPPED)

    assert report.passed, report.violations
    assert {finding.rule: finding.detail for finding in report.findings}[RULE].startswith("shortest lag 900 s")


def test_an_undeclared_lag_below_the_horizon_is_found(filled_store: ArtifactStore, lagging: WithLag) -> None:
    report = audit_parts(filled_store, build_dataset(filled_store, lagging(840, declared=False), FRAME), SHIPPED)

    assert {finding.rule for finding in report.violations} == {UNMOVED}


def test_a_dataset_whose_kind_now_tells_of_shorter_lags_is_found(filled_store: ArtifactStore, lagging: WithLag) -> None:
    parts = build_dataset(filled_store, lagging(HORIZON, declared=True), FRAME)
    audited = replace(SHIPPED, lags=lambda _: {"targets": (600, 3600)})

    report = audit_parts(filled_store, parts, audited)

    assert [(finding.rule, finding.detail) for finding in report.violations] == [
        (RULE, "shortest lag 600 s, longest horizon 900 s")
    ]


def test_a_recipe_that_the_present_code_refuses_is_no_dataset_any_more(
    filled_store: ArtifactStore, lagging: WithLag, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = build_dataset(filled_store, lagging(HORIZON, declared=True), FRAME).recipe
    monkeypatch.setattr(LaggedTarget, "lagged_target_seconds", (60,))
    with pytest.raises(ConfigError, match=r"(?s)refused now.*lagged by \[60\] s.*materialise it again"):
        stated_parameters(recipe)
