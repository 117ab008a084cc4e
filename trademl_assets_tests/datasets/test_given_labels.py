import json
from typing import Any

import numpy as np
import pytest

from trademl_assets.datasets.given_labels import GivenLabels, GivenParameters
from trademl_assets.datasets.label_kinds import find_boundaries, find_classes, find_outcomes
from trademl_assets.foundation.errors import ConfigError, DataQualityError
from trademl_assets_tests.datasets.label_market import MINUTE_US, market_of, with_series

STATED = {
    "series": "signal",
    "span_seconds": 120,
    "max_age_seconds": 0,
    "classes": [{"name": "hold", "value": 0.0}, {"name": "enter", "value": 1.0}],
}
MARKET = market_of(np.arange(100.0, 110.0))
STEPS = np.arange(10)


def given_labels(**changes: Any) -> GivenLabels:
    return GivenLabels(GivenParameters.model_validate_json(json.dumps(STATED | changes)))


def test_a_label_is_the_value_about_its_decision_and_lasts_the_span() -> None:
    kind, market = given_labels(), with_series(MARKET, [(1, 1, 1.0), (2, 4, 0.0), (3, 3, 1.0)])

    found = find_outcomes(kind, market, STEPS, 180)

    assert np.flatnonzero(found.valid).tolist() == [1, 2, 3]
    assert find_classes(kind, found.at(found.valid), np.empty(0)).tolist() == [1, 0, 1]
    assert (found.t1_us - market.series.instants_us == 2 * MINUTE_US).all()
    assert found.return_bps[1] == pytest.approx(1e4 * np.log(103 / 101))
    assert kind.class_names(np.empty(0)) == ("hold", "enter")
    assert kind.external_series == ("signal",)


def test_what_is_published_after_the_span_is_no_label_and_the_last_revision_before_counts() -> None:
    rows = [(1, 1, 0.0), (1, 3, 1.0), (1, 4, 0.0), (5, 8, 1.0)]
    found = find_outcomes(given_labels(), with_series(MARKET, rows), STEPS, 120)
    assert np.flatnonzero(found.valid).tolist() == [1]
    assert find_classes(given_labels(), found.at(found.valid), np.empty(0)).tolist() == [1]


def test_what_was_published_later_may_be_about_an_earlier_decision() -> None:
    found = find_outcomes(given_labels(), with_series(MARKET, [(5, 5, 1.0), (4, 6, 0.0), (6, 7, 0.0)]), STEPS, 120)
    assert np.flatnonzero(found.valid).tolist() == [4, 5, 6]
    assert find_classes(given_labels(), found.at(found.valid), np.empty(0)).tolist() == [0, 1, 0]


def test_a_value_about_an_earlier_instant_holds_for_its_longest_age() -> None:
    found = find_outcomes(given_labels(max_age_seconds=120), with_series(MARKET, [(1, 1, 1.0)]), STEPS, 120)
    assert np.flatnonzero(found.valid).tolist() == [1, 2, 3]


def test_a_label_needs_both_mids_and_a_series_with_rows() -> None:
    market = market_of(np.arange(100.0, 110.0), unseen=(3,))
    found = find_outcomes(given_labels(), with_series(market, [(1, 1, 1.0), (4, 4, 1.0)]), STEPS, 120)
    assert np.flatnonzero(found.valid).tolist() == [4]
    assert not find_outcomes(given_labels(), with_series(MARKET, []), STEPS, 120).valid.any()


def test_values_that_stand_for_no_class_are_named() -> None:
    kind = given_labels()
    found = find_outcomes(kind, with_series(MARKET, [(1, 1, 1.0), (2, 2, 7.0)]), STEPS, 120)
    with pytest.raises(DataQualityError, match=r"'signal' gives FOLLOW the values \[7\.0\]"):
        find_boundaries(kind, found.at(found.valid), "FOLLOW")
    with pytest.raises(ConfigError, match="its 2 class names"):
        find_classes(kind, found.at(found.valid), np.empty(0))


def test_a_span_beyond_the_horizon_and_repeated_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"within their horizon of labels\.horizons_seconds \(60\)"):
        find_outcomes(given_labels(), with_series(MARKET, [(1, 1, 1.0)]), STEPS, 60)
    with pytest.raises(ValueError, match="classes repeat a value"):
        given_labels(classes=[{"name": "hold", "value": 0.0}, {"name": "enter", "value": 0.0}])
