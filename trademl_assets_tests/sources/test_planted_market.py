"""The latent market follows its law, and a day comes out equal whichever way it is asked for."""

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from trademl_assets.sources.planted_books import draw_books
from trademl_assets.sources.planted_dynamics import step_dynamics
from trademl_assets.sources.planted_market import latent_day
from trademl_assets_tests.sources.planted_parameters import FIRST_DAY, INSTRUMENTS, small_parameters


def _days(parameters):
    return [
        latent_day(parameters, FIRST_DAY + timedelta(days=d)) for d in range((parameters.last_day - FIRST_DAY).days + 1)
    ]


def _correlation(left, right):
    return float(np.corrcoef(left, right)[0, 1])


@pytest.fixture(scope="module")
def long_market():
    return small_parameters(days=150)


@pytest.fixture(scope="module")
def drift(long_market):
    return np.concatenate([day.drift for day in _days(long_market)])


def test_every_drift_has_the_signal_as_its_stationary_deviation(drift):
    assert drift.std(axis=0) == pytest.approx(np.full(3, 0.2), rel=0.05)


def test_the_leader_forgets_half_in_its_half_life(drift):
    assert _correlation(drift[60:, 0], drift[:-60, 0]) == pytest.approx(0.5, abs=0.05)


def test_a_follower_relaxes_to_its_share_of_the_leader_within_its_half_life(drift):
    design = drift[:-1, :2]
    (of_leader, of_itself), *_ = np.linalg.lstsq(design, drift[1:, 1], rcond=None)
    kept = 0.5 ** (1 / 20)
    assert of_itself == pytest.approx(kept, abs=0.003)
    assert of_leader == pytest.approx(0.8 * (1 - kept), rel=0.1)


def test_returns_are_drift_plus_correlated_noise_at_the_prescribed_volatility(long_market):
    noises = []
    for day in _days(long_market)[:40]:
        sigma = 1e-4 * np.array([5.0, 6.0, 7.0]) * long_market.volatility_level(day.day)
        noises.append(np.diff(day.log_mid, axis=0) / sigma - day.drift[:-1])
        assert noises[-1].std(axis=0) == pytest.approx(np.ones(3), rel=0.08)
    noise = np.concatenate(noises)
    assert np.corrcoef(noise.T)[np.triu_indices(3, 1)] == pytest.approx(np.full(3, 0.2), abs=0.02)
    assert noise.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.015)


def test_volatility_levels_cycle_from_the_first_day_both_ways():
    parameters = small_parameters()
    assert [parameters.volatility_level(FIRST_DAY + timedelta(days=d)) for d in (-1, 0, 1, 8)] == [0.6, 0.7, 0.9, 0.7]


def test_mids_pass_through_the_initial_prices_and_on_over_midnight():
    parameters = small_parameters()
    days = [latent_day(parameters, FIRST_DAY + timedelta(days=d)) for d in range(-3, 4)]
    assert np.exp(days[3].log_mid[0]) == pytest.approx([40000.0, 2500.0, 300.0])
    for before, after in pairwise(days):
        assert np.all(np.abs(after.log_mid[0] - before.log_mid[-1]) < 6 * before.step_sigma_bps / 1e4)
        assert not np.array_equal(before.log_mid[1:] - before.log_mid[0], after.log_mid[1:] - after.log_mid[0])


def test_a_day_is_the_same_in_a_longer_span_and_when_asked_for_first():
    late = FIRST_DAY + timedelta(days=3)
    from_long = latent_day(small_parameters(days=9), late)
    from_short = latent_day(small_parameters(days=4), late)
    for name in ("log_mid", "drift", "bands", "missing", "crossed", "jitter_us"):
        assert np.array_equal(getattr(from_long, name), getattr(from_short, name)), name


def test_another_seed_is_another_market():
    assert not np.allclose(
        latent_day(small_parameters(), FIRST_DAY).drift, latent_day(small_parameters(seed=3), FIRST_DAY).drift
    )


def test_without_signal_neither_drift_nor_books_lean():
    day = latent_day(small_parameters(signal=0.0), FIRST_DAY)
    assert not day.drift.any()
    assert abs(day.bands.mean()) < 0.1


def test_snapshots_go_missing_and_cross_at_their_shares(long_market):
    days = _days(long_market)
    assert np.mean([day.missing.mean() for day in days]) == pytest.approx(0.005, rel=0.1)
    assert np.mean([day.crossed.mean() for day in days]) == pytest.approx(0.0005, rel=0.3)
    assert not any((day.missing & day.crossed).any() for day in days)


def test_band_noise_has_the_variance_and_persistence_of_a_mean_of_slots(long_market):
    dynamics = step_dynamics(long_market)
    days = _days(long_market)
    noise = np.concatenate([day.bands - dynamics.loadings * day.drift[:, :, None] for day in days])
    slots = np.array([4, 9])
    assert noise.var(axis=0) == pytest.approx(np.tile(0.64 / slots, (3, 1)), rel=0.05)
    lagged = np.mean(noise[10:] * noise[:-10], axis=0) / noise.var(axis=0)
    assert lagged == pytest.approx(np.full((3, 2), 0.25), abs=0.02)


def test_slots_of_a_band_average_to_its_latent_mean_and_scatter_by_the_slot_noise():
    parameters = small_parameters()
    variances, kept = [], []
    for index in range(18):
        position, day = index % 3, FIRST_DAY + timedelta(days=index // 3)
        books = draw_books(parameters, position, list(INSTRUMENTS.values())[position], day, 0)
        ratio = np.log(books.quantity[:, :13, 0] / books.quantity[:, :13, 1])
        latent = latent_day(parameters, day).bands[books.steps, position]
        assert ratio[:, :4].mean(axis=1) == pytest.approx(latent[:, 0], abs=1e-5)
        assert ratio[:, 4:].mean(axis=1) == pytest.approx(latent[:, 1], abs=1e-5)
        deviation = ratio[:, 4:] - latent[:, [1]]
        variances.append(deviation.var())
        kept.append(np.mean(deviation[10:] * deviation[:-10]) / deviation.var())
    assert np.mean(variances) == pytest.approx(0.64 * 8 / 9, rel=0.03)
    assert np.mean(kept) == pytest.approx(0.25, abs=0.02)


def test_books_do_not_depend_on_the_first_step_asked_for():
    parameters = small_parameters()
    whole, tail = (draw_books(parameters, 0, INSTRUMENTS["LEADUSDT"], FIRST_DAY, first) for first in (0, 1400))
    chosen = whole.steps >= 1400
    assert np.array_equal(whole.take(chosen).quantity, tail.quantity)
    assert np.array_equal(whole.take(chosen).levels.near, tail.levels.near)
    assert np.array_equal(whole.take(chosen).best, tail.best)


def test_the_gate_follows_from_the_volumes_of_the_days_before_alone():
    gate = {"strength": 0.5, "short_days": 3, "long_days": 9, "scale": 0.15}
    parameters = small_parameters(days=20, gate=gate)
    days = [latent_day(parameters, parameters.history_first_day + timedelta(days=d)) for d in range(30)]
    volumes = np.array([day.volume for day in days])
    for index in range(9, 30):
        ratio = volumes[index - 3 : index].mean() / volumes[index - 9 : index].mean()
        assert days[index].gate == pytest.approx(1 + 0.5 * np.tanh(np.log(ratio) / 0.15))
    assert np.std([day.gate for day in days]) > 0.05
    assert {day.gate for day in _days(small_parameters())} == {1.0}


def test_the_gate_scales_the_drift_of_returns_and_leaves_books_alone():
    gated = {"strength": 0.9, "short_days": 1, "long_days": 9, "scale": 0.01}
    plain, closed = (small_parameters(days=2, gate={**gated, "strength": strength}) for strength in (0.0, 0.9))
    day = FIRST_DAY + timedelta(days=1)
    without, with_gate = latent_day(plain, day), latent_day(closed, day)
    assert np.array_equal(without.bands, with_gate.bands)
    expected = (with_gate.gate - 1) * without.drift[:-1] * without.step_sigma_bps / 1e4
    assert np.diff(with_gate.log_mid - without.log_mid, axis=0) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"cadence_seconds": 7}, "does not divide a day"),
        ({"bin_upper_edges_bps": [10, 20, 20, 80]}, "increase strictly"),
        ({"last_day": "2023-12-31"}, "lies after last_day"),
        ({"near_levels": 4}, "cover 13 slots"),
        ({"near_levels": 28}, "leave a bin without a level"),
        ({"delivery": {"jitter_milliseconds": 60_000, "missing_share": 0.0, "crossed_share": 0.0}}, "previous instant"),
        ({"instruments": [{"name": "A1", "initial_price": 1.0, "minute_volatility_bps": 5.0}] * 2}, "repeat a name"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_impossible_parameters_are_refused(changes, complaint):
    with pytest.raises(ValidationError, match=complaint):
        small_parameters(**changes)


def test_a_leader_alone_is_a_market():
    alone = small_parameters(instruments=[{"name": "LEADUSDT", "initial_price": 40000.0, "minute_volatility_bps": 5.0}])
    assert latent_day(alone, date(2024, 1, 2)).drift.shape == (1440, 1)
