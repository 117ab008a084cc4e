from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from trademl_assets.datasets.clock import ClockFits, ClockInputs, clock_columns, clock_stream, fit_clock
from trademl_assets.foundation.calendar import to_microseconds

HOUR = 3_600_000_000
MONDAY = to_microseconds(datetime(2024, 1, 1, tzinfo=UTC))
STEPS = 24 * 14


def inputs_of(volumes: list[float]) -> ClockInputs:
    regimes = ["unknown", "bull", "bear", "sideways"] * 4
    return ClockInputs(
        instants_us=MONDAY + np.arange(STEPS, dtype=np.int64) * HOUR,
        day=np.arange(STEPS) // 24,
        sigma_long=np.linspace(1.0, 3.0, STEPS),
        previous_volume=np.asarray(volumes),
        previous_regime=regimes[:14],
    )


FITS = ClockFits(largest_sigma=2.0, volumes=(10.0, 20.0, 30.0, 40.0), first_us=MONDAY, last_us=MONDAY + 96 * HOUR)


def column(name: str, group: str, encoding: str = "cyclical") -> np.ndarray:
    stream = clock_stream(inputs_of([np.nan, 5.0, 20.0, 25.0, 99.0] + [1.0] * 9), FITS, (group,), encoding)
    names = clock_columns((group,), encoding)
    assert stream.shape == (STEPS, len(names))
    return stream[:, names.index(name)]


def test_hour_and_weekday_are_points_on_their_circles() -> None:
    assert column("hour_sin", "hour")[[0, 6, 12]] == pytest.approx([0, 1, 0], abs=1e-6)
    assert column("hour_cos", "hour")[[0, 6, 12]] == pytest.approx([1, 0, -1], abs=1e-6)
    assert column("weekday_cos", "weekday")[0] == pytest.approx(1.0)
    assert column("weekday_sin", "weekday")[42] == pytest.approx(1.0)
    assert column("weekday_sin", "weekday")[: 24 * 7] == pytest.approx(column("weekday_sin", "weekday")[24 * 7 :])


def test_hour_and_weekday_may_be_numbers_shares_or_a_column_each() -> None:
    hours = np.arange(STEPS)
    assert column("hour", "hour", "integer").tolist() == (hours % 24).tolist()
    assert column("weekday", "weekday", "integer").tolist() == (hours // 24 % 7).tolist()
    assert column("hour", "hour", "linear") == pytest.approx(hours % 24 / 24)
    assert column("weekday", "weekday", "linear") == pytest.approx(hours % 168 / 168)
    assert np.flatnonzero(column("hour_5", "hour", "embedding")).tolist() == [5 + 24 * day for day in range(14)]
    assert np.flatnonzero(column("weekday_6", "weekday", "embedding")).tolist() == [*range(144, 168), *range(312, 336)]


def test_the_last_moment_of_a_day_is_still_its_last_hour() -> None:
    late = replace(inputs_of([1.0] * 14), instants_us=MONDAY + np.full(STEPS, 24 * HOUR - 1))
    stream = clock_stream(late, FITS, ("hour", "weekday"), "integer")
    assert np.unique(stream, axis=0).tolist() == [[23.0, 0.0]]


def test_volume_is_ranked_among_the_training_days() -> None:
    rank = column("volume_percentile", "volume_percentile")
    assert rank[[0, 24, 48, 72, 96]].tolist() == [0.5, 0.0, 0.5, 0.5, 1.0]


def test_regime_is_that_of_the_previous_day() -> None:
    assert column("regime_unknown", "market_regime")[:24].tolist() == [1.0] * 24
    assert column("regime_bull", "market_regime")[24:48].tolist() == [1.0] * 24
    assert column("regime_bull", "market_regime")[:24].tolist() == [0.0] * 24


def test_volatility_and_age_are_measured_in_units_of_training() -> None:
    assert column("rolling_volatility", "rolling_volatility")[-1] == pytest.approx(1.5)
    assert column("days_since_start", "days_since_start")[[0, 96, 192]].tolist() == [0.0, 1.0, 2.0]


def test_fits_know_the_training_rows_alone() -> None:
    volumes = [float(day) for day in range(14)]
    training = np.arange(STEPS) < 96
    fits = fit_clock(inputs_of(volumes), training, MONDAY, MONDAY + 96 * HOUR)
    assert fits.volumes == (0.0, 1.0, 2.0, 3.0)
    assert fits.largest_sigma == inputs_of(volumes).sigma_long[95]
