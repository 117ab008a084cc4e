import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.label_kinds import (
    find_boundaries,
    find_classes,
    find_outcomes,
    interval_names,
    return_edges_bps,
)
from trademl_assets.datasets.price_classes import PriceClasses, PriceClassesParameters
from trademl_assets.foundation.errors import ConfigError
from trademl_assets_tests.datasets.label_market import market_of

MULTIPLES = {"kind": "volatility_scaled", "multiples": [-1.0, 0.0, 1.0]}
BY_INSTRUMENT = {"kind": "by_instrument", "edges_bps": {"LEAD": [-1.0, 1.0], "FOLLOW": [-5.0, 5.0]}}


def price_classes(boundaries: dict[str, Any]) -> PriceClasses:
    return PriceClasses(PriceClassesParameters.model_validate_json(json.dumps({"boundaries": boundaries})))


def walk(seed: int, minutes: int = 200) -> np.ndarray:
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 1e-3, minutes)))


@given(st.integers(0, 2**32))
def test_a_volatility_scaled_class_is_decided_by_the_return_over_sigma_at_the_decision(seed: int) -> None:
    kind, market, steps = price_classes(MULTIPLES), market_of(walk(seed)), np.arange(20, 180)

    found = find_outcomes(kind, market, steps, 300)
    edges = find_boundaries(kind, found, "FOLLOW")

    sigma = market.sigma.short[steps, 0] * np.sqrt(5)
    expected = np.searchsorted([-1.0, 0.0, 1.0], found.return_bps / sigma, side="right")
    assert find_classes(kind, found, edges).tolist() == expected.tolist()
    assert (edges.tolist(), kind.edge_unit) == ([-1.0, 0.0, 1.0], "sigma")
    assert kind.class_names(edges) == ("< -1", "[-1, 0)", "[0, 1)", ">= 1")


@given(st.integers(0, 2**32), st.floats(0.2, 20.0))
def test_scaled_classes_do_not_change_when_all_returns_are_stretched(seed: int, stretch: float) -> None:
    mids, steps = walk(seed), np.arange(20, 180)
    kind = price_classes({"kind": "volatility_scaled_quantile", "classes": 4})

    def classes(market_mids: np.ndarray) -> np.ndarray:
        found = find_outcomes(kind, market_of(market_mids), steps, 300)
        return find_classes(kind, found, find_boundaries(kind, found, "FOLLOW"))

    stretched = 100.0 * (mids / 100.0) ** stretch
    assert np.mean(classes(stretched) != classes(mids)) < 0.02, "but for rounding at the edges"
    assert np.bincount(classes(mids)).tolist() == pytest.approx([40] * 4, abs=1)


def test_an_instrument_has_edges_of_its_own() -> None:
    kind = price_classes(BY_INSTRUMENT)
    found = find_outcomes(kind, market_of(walk(0)), np.arange(10), 60)
    assert find_boundaries(kind, found, "FOLLOW").tolist() == [-5.0, 5.0]
    assert find_boundaries(kind, found, "LEAD").tolist() == [-1.0, 1.0]
    with pytest.raises(ConfigError, match=r"\['FOLLOW', 'LEAD'\], not 'OTHER' -> give its edges"):
        find_boundaries(kind, found, "OTHER")


@pytest.mark.parametrize(
    ("boundaries", "message"),
    [
        ({"kind": "volatility_scaled", "multiples": [1.0, 0.0]}, "must increase strictly"),
        ({"kind": "by_instrument", "edges_bps": {"A": [0.0], "B": [0.0, 1.0]}}, "as many edges each"),
        ({"kind": "by_instrument", "edges_bps": {"A": [1.0, 1.0]}}, "must increase strictly"),
    ],
)
def test_boundaries_that_make_no_sense_are_refused(boundaries: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        price_classes(boundaries)


def test_class_names_are_half_open() -> None:
    assert interval_names(np.asarray([-5.0, 0.0, 5.0])) == ("< -5", "[-5, 0)", "[0, 5)", ">= 5")


def test_classes_that_are_not_cut_by_the_return_have_no_edges_to_ask_for() -> None:
    recipe = {"boundaries_bps": None, "class_names": ["stop", "target"], "labels": {"kind": "triple_barrier"}}
    with pytest.raises(ConfigError, match=r"kind 'triple_barrier' are not cut .*classes: stop, target.*price_classes"):
        return_edges_bps(recipe)
    assert return_edges_bps(recipe | {"boundaries_bps": [1.0, 2.0]}).tolist() == [1.0, 2.0]
