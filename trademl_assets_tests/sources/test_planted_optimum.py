"""The optimum is exact, calibrated, better than every part of it, and as strong as the market was designed to be."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import kstest, norm

from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.sources.contract import Reading
from trademl_assets.sources.planted_dynamics import step_dynamics
from trademl_assets.sources.planted_market import latent_day
from trademl_assets.sources.planted_optimum import (
    class_probabilities,
    filter_drifts,
    full_sight,
    horizon_laws,
    predict_return,
    predict_without_drift,
    returns_sight,
    sight_of,
)
from trademl_assets.sources.simulator import PlantedMarket
from trademl_assets_tests.sources.joint_gaussian import JointGaussian
from trademl_assets_tests.sources.planted_parameters import (
    DEMO,
    FIRST_DAY,
    INSTRUMENTS,
    demo_parameters,
    small_parameters,
)

HALF_HOUR = 30
"""Steps of the small market's horizon."""
EVERYTHING = Reading(instruments=tuple(INSTRUMENTS), returns=True, book_slots=None, long_term=True)
OWN_ASSET = replace(EVERYTHING, instruments=("FOLAUSDT",))
WITHOUT_GATE = replace(EVERYTHING, long_term=False)


def own_sight(parameters, target):
    names = (parameters.instruments[target].name,)
    return sight_of(parameters, replace(EVERYTHING, instruments=names))


def top_of_book(parameters):
    return sight_of(parameters, replace(EVERYTHING, book_slots=parameters.books.bands[0].slots))


def books_only(parameters):
    return sight_of(parameters, replace(EVERYTHING, returns=False))


def _log_mids(parameters):
    days = (parameters.last_day - parameters.first_day).days + 1
    return np.concatenate([latent_day(parameters, FIRST_DAY + timedelta(days=d)).log_mid for d in range(days)])


def _forecast(parameters, sight, target, steps, horizon):
    return predict_return(filter_drifts(parameters, sight, steps), horizon_laws(parameters, target, steps, horizon))


@pytest.fixture(scope="module")
def joint():
    parameters = small_parameters(
        days=2,
        cadence_seconds=3600,
        instruments=DEMO["instruments"][:2],
        drift={**DEMO["drift"], "leader_half_life_minutes": 600.0, "follower_half_life_minutes": 200.0},
        books={**small_parameters().model_dump(mode="json")["books"], "persistent_half_life_minutes": 90.0},
        delivery={"jitter_milliseconds": 0, "missing_share": 0.3, "crossed_share": 0.1},
        gate={"strength": 0.5, "short_days": 2, "long_days": 8, "scale": 0.05},
    )
    return JointGaussian(parameters, 48)


@pytest.mark.parametrize(
    "sight_from",
    [full_sight, lambda parameters: own_sight(parameters, 1), top_of_book, books_only, returns_sight],
    ids=["everything", "own asset", "top of book", "books only", "returns only"],
)
def test_it_equals_conditioning_the_joint_gaussian_by_linear_algebra(joint, sight_from):
    sight = sight_from(joint.parameters)
    assert joint.days[0].gate != joint.days[1].gate
    steps = np.array([40, 5, 23, 22, 44])
    means, variances = _forecast(joint.parameters, sight, 1, steps, 4)
    expected = np.array([joint.condition(sight, 1, int(step), 4) for step in steps])
    assert means == pytest.approx(expected[:, 0], rel=1e-6, abs=1e-9)
    assert variances == pytest.approx(expected[:, 1], rel=1e-8)


@pytest.fixture(scope="module")
def played():
    """Non-overlapping half hours of 60 days, with what came of them."""
    parameters = small_parameters(days=60)
    steps = np.arange(60, 59 * 1440, HALF_HOUR)
    log_mids = _log_mids(parameters)
    return parameters, steps, 1e4 * (log_mids[steps + HALF_HOUR] - log_mids[steps])


@pytest.mark.parametrize("target", [0, 1])
def test_its_probability_integral_transform_is_uniform(played, target):
    parameters, steps, returns = played
    for sight in (full_sight(parameters), own_sight(parameters, target), returns_sight(parameters)):
        mean, variance = _forecast(parameters, sight, target, steps, HALF_HOUR)
        assert kstest(norm.cdf(returns[:, target], mean, np.sqrt(variance)), "uniform").pvalue > 0.01


def test_it_loses_less_than_any_part_of_it_and_by_as_much_as_it_claims(played):
    parameters, steps, returns = played
    edges = np.array([-30.0, -10.0, 10.0, 30.0])
    times = to_microseconds(day_start(FIRST_DAY)) + steps * 60_000_000
    probabilities = PlantedMarket(parameters, INSTRUMENTS).optimal_probabilities(
        "FOLAUSDT",
        times,
        1800,
        edges,
        {"own_asset": OWN_ASSET, "top_of_book": replace(EVERYTHING, book_slots=4), "without_gate": WITHOUT_GATE},
    )
    assert np.array_equal(probabilities["without_gate"], probabilities["optimum"]), "the gate is open"
    labels = np.searchsorted(edges, returns[:, 1], side="right")
    losses = {name: -np.log(p[np.arange(steps.size), labels]) for name, p in probabilities.items()}
    best = probabilities["optimum"]
    for name in ("own_asset", "top_of_book", "returns_only", "volatility"):
        claimed = np.sum(best * np.log(best / probabilities[name]), axis=1).mean()
        realised = losses[name] - losses["optimum"]
        deviation = realised.std() / np.sqrt(realised.size)
        assert realised.mean() > 2 * deviation, name
        assert abs(realised.mean() - claimed) < 3 * deviation, name


def _nats(parameters, sight, target):
    """Information about the half hour's return at a typical instant, in nats."""
    steps = np.array([parameters.steps_per_day * 3 // 2])
    laws = horizon_laws(parameters, target, steps, 1800 // parameters.cadence_seconds)
    _, known = predict_return(filter_drifts(parameters, sight, steps), laws)
    _, unknown = predict_without_drift(parameters, laws)
    return 0.5 * float(np.log(unknown / known)[0])


def test_the_ladder_of_information_at_the_medium_strength_is_the_designed_one():
    parameters = demo_parameters(days=2, signal=0.15)
    assert _nats(parameters, full_sight(parameters), 1) == pytest.approx(0.103, abs=0.003)
    assert _nats(parameters, own_sight(parameters, 1), 1) == pytest.approx(0.076, abs=0.003)
    assert _nats(parameters, top_of_book(parameters), 1) == pytest.approx(0.073, abs=0.003)
    assert _nats(parameters, returns_sight(parameters), 1) == pytest.approx(0.069, abs=0.003)


@pytest.mark.parametrize("target", [0, 1])
def test_who_reads_less_knows_less(target):
    """Ceilings ascend with what is read, slot by slot and instrument by instrument."""
    parameters = small_parameters()
    slots = [0, 4, 13, None]
    by_slots = [_nats(parameters, sight_of(parameters, replace(EVERYTHING, book_slots=n)), target) for n in slots]
    names = [instrument.name for instrument in parameters.instruments]
    names = [names[target], *(name for name in names if name != names[target])]
    by_instruments = [
        _nats(parameters, sight_of(parameters, replace(EVERYTHING, instruments=tuple(names[:n]))), target)
        for n in (0, 1, 2, 3)
    ]
    assert by_slots[0] == _nats(parameters, returns_sight(parameters), target)
    assert by_slots[-1] == by_slots[-2] == by_instruments[-1] == _nats(parameters, full_sight(parameters), target)
    assert by_instruments[0] == pytest.approx(0.0, abs=1e-6)
    assert by_slots[0] < by_slots[1] < by_slots[2]
    assert by_instruments[0] < by_instruments[1] < by_instruments[2] < by_instruments[3]
    nothing_of_returns = _nats(parameters, books_only(parameters), target)
    assert nothing_of_returns < by_slots[-1]


def test_where_the_best_forecast_is_not_linear_there_is_no_ceiling():
    gated = small_parameters(gate={"strength": 0.5, "short_days": 2, "long_days": 8, "scale": 0.05})
    within_a_band = [sight_of(small_parameters(), replace(EVERYTHING, book_slots=n)) for n in (3, 5)]
    assert [*within_a_band, sight_of(gated, WITHOUT_GATE)] == [None, None, None]
    assert sight_of(gated, EVERYTHING) is not None
    times = to_microseconds(day_start(FIRST_DAY)) + np.array([60 * 60_000_000])
    found = PlantedMarket(gated, INSTRUMENTS).optimal_probabilities(
        "FOLAUSDT", times, 1800, np.array([0.0]), {"gateless": WITHOUT_GATE, "all": EVERYTHING}
    )
    assert set(found) == {"optimum", "returns_only", "volatility", "all"}


def test_in_the_demo_returns_alone_leave_room_for_books_and_other_assets():
    parameters = demo_parameters(days=2)
    everything = _nats(parameters, full_sight(parameters), 1)
    assert 0.67 <= _nats(parameters, returns_sight(parameters), 1) / everything <= 0.73
    assert _nats(parameters, own_sight(parameters, 1), 1) / everything < 0.85


def test_without_signal_the_optimum_is_the_volatility_forecast():
    market = PlantedMarket(small_parameters(signal=0.0), INSTRUMENTS)
    times = to_microseconds(day_start(FIRST_DAY)) + np.arange(0, 5 * 1440, 30) * 60_000_000
    probabilities = market.optimal_probabilities(
        "FOLBUSDT", times, 1800, np.array([-20.0, 0.0, 20.0]), {"own_asset": OWN_ASSET}
    )
    for name in ("optimum", "own_asset", "returns_only"):
        assert probabilities[name] == pytest.approx(probabilities["volatility"], abs=1e-12)


def test_the_volatility_forecast_knows_both_days_of_a_horizon_over_midnight():
    parameters = small_parameters(signal=0.0)
    weights, variances = horizon_laws(parameters, 0, np.array([1430, 1000, 1430]), HALF_HOUR)
    assert variances[0] == variances[2] == pytest.approx(25 * (10 * 0.7**2 + 20 * 0.9**2))
    assert variances[1] == pytest.approx(25 * 30 * 0.7**2)
    assert weights.shape == (3, 3)


def test_a_forecast_does_not_change_with_the_decisions_asked_for_beside_it():
    parameters = demo_parameters(days=4)
    sight = full_sight(parameters)
    alone = filter_drifts(parameters, sight, np.array([3 * 8640 + 100]))
    among = filter_drifts(parameters, sight, np.array([3 * 8640 + 100, 10, 8640]))
    assert alone.mean[0] == pytest.approx(among.mean[0], rel=1e-4, abs=1e-6)


def test_class_probabilities_sum_to_one_and_integrate_the_gaussian():
    probabilities = class_probabilities(np.array([0.0, 5.0]), np.array([1.0, 4.0]), np.array([-1.0, 0.0, 5.0]))
    assert probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert probabilities[0] == pytest.approx([0.158655, 0.341345, 0.5, 0.0], abs=1e-5)
    assert probabilities[1, 3] == pytest.approx(0.5)


def test_dynamics_keep_the_stationary_law():
    dynamics = step_dynamics(demo_parameters())
    moved = dynamics.transition @ dynamics.stationary @ dynamics.transition.T + dynamics.innovation
    assert moved == pytest.approx(dynamics.stationary)
    assert np.diag(dynamics.stationary) == pytest.approx(np.full(3, 0.04))
