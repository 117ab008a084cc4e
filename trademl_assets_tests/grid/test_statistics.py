import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.grid.alignment import align_assets
from trademl_assets.grid.diagnostics import interpolate_for_display
from trademl_assets.grid.statistics import describe_grid, gap_lengths
from trademl_assets_tests.grid.markets import DAY, grid_parameters, instruments, snapshots_at


@given(st.lists(st.integers(0, 2)))
def test_gaps_are_the_runs_of_steps_that_are_not_observed(states):
    runs = [len(list(run)) for missing, run in itertools.groupby(state != 0 for state in states) if missing]

    assert gap_lengths(np.asarray(states, np.uint8)).tolist() == runs


def test_a_day_is_described_by_its_gaps_ages_and_unusable_steps():
    seconds = [*np.arange(0, 86_400, 10.0)]
    late = [second - 1.5 for second in seconds if not 1_000 < second <= 1_100]
    snapshots = {"AAA": snapshots_at(seconds), "BBB": snapshots_at(late), "CCC": snapshots_at([])}
    parameters = grid_parameters(required_instruments=("AAA",), min_assets_required=2)

    statistics = describe_grid(align_assets(snapshots, instruments("AAA", "BBB", "CCC"), DAY, parameters))

    numbers = statistics.numbers()
    assert numbers["AAA_observed_share"] == 1.0
    assert numbers["AAA_gaps"] == 0
    assert numbers["AAA_greatest_age_ms"] == 0.0
    assert "AAA_longest_gap_seconds" not in numbers
    assert numbers["BBB_gaps"] == 1
    assert numbers["BBB_longest_gap_seconds"] == numbers["BBB_gap_p50_seconds"] == 100
    assert numbers["BBB_filled_share"] == pytest.approx(3 / 8_640)  # 11.5, 21.5 and 31.5 s old
    assert numbers["BBB_missing_share"] == pytest.approx(7 / 8_640)
    assert numbers["BBB_age_p50_ms"] == numbers["BBB_age_p99_ms"] == 1_500
    assert numbers["BBB_greatest_age_ms"] == 31_500
    assert numbers["CCC_missing_share"] == 1.0
    assert numbers["CCC_longest_gap_seconds"] == 86_400
    assert "CCC_age_p50_ms" not in numbers  # never shown: no age, not a perfect one
    assert numbers["discarded_share"] == statistics.discarded_share == pytest.approx(7 / 8_640)
    assert json.loads(json.dumps(statistics.as_dict()))["instruments"]["BBB"]["age_milliseconds"]["count"] == 8_633


def test_lines_for_the_eye_run_between_observed_mids_only():
    mid = np.asarray([5.0, 1.0, 1.0, np.nan, 4.0, 4.0])
    state = np.asarray([1, 0, 1, 2, 0, 1], np.uint8)

    np.testing.assert_allclose(interpolate_for_display(mid, state), [np.nan, 1, 2, 3, 4, np.nan])
    assert np.isnan(interpolate_for_display(mid, np.full(6, 2, np.uint8))).all()
