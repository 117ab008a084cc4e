"""Long-run variance and the least detectable gain: right for noise with memory, and never negative."""

import numpy as np
import pytest
from scipy.stats import t as student

from trademl_assets.evaluation.long_run import detectable_sentence, least_detectable_gain, long_run_variance
from trademl_assets.evaluation.significance import diebold_mariano


def overlapping(generator: np.random.Generator, rows: int, overlap: int, draws: int) -> np.ndarray:
    sums = np.cumsum(generator.standard_normal((rows + overlap, draws)), axis=0)
    return (sums[overlap:] - sums[:-overlap]) / np.sqrt(overlap)


def test_the_variance_of_overlapping_values_is_found_without_bias():
    found = long_run_variance(overlapping(np.random.default_rng(0), 3000, 6, 200), 60)
    assert found.variance.mean() == pytest.approx(6, rel=0.06)


def test_it_equals_the_sum_written_out():
    values = np.random.default_rng(1).standard_normal((50, 1))
    centred, share = values[:, 0] - values.mean(), 7 / 50
    whole = sum((1 - abs(k) / 7) * (centred[abs(k) :] @ centred[: 50 - abs(k)]) / 50 for k in range(-6, 7))
    assert long_run_variance(values, 7).variance[0] == pytest.approx(whole / (1 - share + share**2 / 3))


def test_wide_bandwidths_keep_the_size_of_a_test():
    draws = overlapping(np.random.default_rng(2), 480, 6, 2000)
    for bandwidth in (24, 96):
        found = long_run_variance(draws, bandwidth)
        statistic = draws.mean(axis=0) / np.sqrt(found.variance / 480)
        assert (student.sf(statistic, found.freedom) < 0.05).mean() <= 0.08


def test_the_fallback_of_diebold_mariano_keeps_the_size():
    values = overlapping(np.random.default_rng(3), 400, 4, 1000)
    wiggle = np.tile([3.0, -3.0], 200)[:, None]  # makes the rectangular sum of an even number of lags negative
    found = [diebold_mariano(column, 2, 40) for column in (values + wiggle).T]
    fallen = [each for each in found if each.kernel == "bartlett"]
    assert len(fallen) == 1000
    assert np.mean([each.p_value < 0.05 for each in fallen]) <= 0.08
    assert fallen[0].lags == 39


def test_the_least_detectable_gain_is_seen_four_times_in_five():
    generator = np.random.default_rng(4)
    gain = np.mean([least_detectable_gain(column, 24, confidence=0.95, power=0.8)
                    for column in overlapping(generator, 2000, 6, 50).T])  # fmt: skip
    draws = overlapping(generator, 2000, 6, 2000) + gain
    found = long_run_variance(draws, 24)
    seen = draws.mean(axis=0) / np.sqrt(found.variance / 2000) > student.ppf(0.975, found.freedom)
    assert seen.mean() == pytest.approx(0.8, abs=0.04)


def test_the_sentence_names_span_and_gain():
    assert detectable_sentence(0.0123, 426) == (
        "With 14 months of test data a gain below 0.0123 nats could not have been seen."
    )
    assert "With 12 days" in detectable_sentence(0.1, 12.2)
