"""Block bootstrap and Diebold-Mariano: equal to plain computations, and honest in size."""

import numpy as np
import pytest
from scipy.stats import t as student

from trademl_assets.evaluation.significance import bootstrap_means, diebold_mariano, draw_blocks, interval


def _overlapping(generator: np.random.Generator, rows: int, overlap: int) -> np.ndarray:
    shocks = generator.standard_normal(rows + overlap - 1)
    return np.convolve(shocks, np.ones(overlap), mode="valid") / np.sqrt(overlap)


def test_bootstrap_means_equal_those_of_the_rows_that_were_drawn():
    values = np.random.default_rng(0).standard_normal((50, 3))
    starts, lengths, replicate = draw_blocks(50, 7.0, 20, np.random.default_rng(5))
    rows = [[] for _ in range(20)]
    for start, length, number in zip(starts, lengths, replicate, strict=True):
        rows[number].extend((start + np.arange(length)) % 50)
    assert [len(drawn) for drawn in rows] == [50] * 20
    expected = np.array([values[drawn].mean(axis=0) for drawn in rows])
    np.testing.assert_allclose(bootstrap_means(values, 7.0, 20, 5), expected, atol=1e-12)


def test_blocks_have_the_mean_length_asked_for_and_start_everywhere():
    starts, lengths, replicate = draw_blocks(2000, 20.0, 300, np.random.default_rng(1))
    last = np.r_[np.diff(replicate) > 0, True]
    assert lengths[~last].mean() == pytest.approx(20, rel=0.05)
    assert np.histogram(starts, bins=10, range=(0, 2000))[0].std() < 0.05 * len(starts) / 10


def test_equal_seeds_draw_equal_blocks():
    values = np.random.default_rng(0).standard_normal((40, 1))
    assert (bootstrap_means(values, 5, 10, 3) == bootstrap_means(values, 5, 10, 3)).all()
    assert (bootstrap_means(values, 5, 10, 3) != bootstrap_means(values, 5, 10, 4)).any()


def test_block_intervals_hold_the_mean_of_overlapping_values_where_single_rows_do_not():
    generator, inside = np.random.default_rng(2), {1: 0, 24: 0}
    for trial in range(200):
        values = _overlapping(generator, 600, 6)[:, None]
        for block in inside:
            low, high = interval(bootstrap_means(values, block, 200, trial)[:, 0], 0.95)
            inside[block] += low <= 0 <= high
    assert inside[24] >= 174
    assert inside[1] <= 140


def test_diebold_mariano_equals_the_formula_written_out():
    values = _overlapping(np.random.default_rng(3), 200, 4) + 0.1
    centred, overlap, count = values - values.mean(), 4, 200
    variance = sum(np.sum(centred[abs(k) :] * centred[: count - abs(k)]) / count for k in range(-3, 4))
    harvey = np.sqrt((count + 1 - 2 * overlap + overlap * (overlap - 1) / count) / count)
    expected = values.mean() / np.sqrt(variance / count) * harvey
    found = diebold_mariano(values, overlap)
    assert found.statistic == pytest.approx(expected)
    assert found.p_value == pytest.approx(1 - student.cdf(expected, count - 1))
    assert (found.kernel, found.lags) == ("rectangular", 3)


def test_a_true_null_with_overlap_is_rejected_at_about_the_level():
    generator = np.random.default_rng(4)
    draws = [_overlapping(generator, 1000, 6) for _ in range(1000)]
    assert np.mean([diebold_mariano(values, 6).p_value < 0.05 for values in draws]) <= 0.08
    assert np.mean([diebold_mariano(values, 1).p_value < 0.05 for values in draws]) > 0.15


def test_a_rectangular_variance_that_is_not_positive_falls_back_to_bartlett():
    values = np.tile([1.0, -1.0], 50) + 0.1
    found = diebold_mariano(values, 2)
    assert found.kernel == "bartlett"
    assert found.statistic is not None
    assert 0 < found.p_value < 0.5


@pytest.mark.parametrize(("values", "overlap"), [(np.zeros(50), 3), (np.ones(5), 6), (np.empty(0), 1)])
def test_no_statistic_without_variance_or_with_too_few_values(values, overlap):
    found = diebold_mariano(values, overlap)
    assert (found.statistic, found.p_value, found.kernel) == (None, 1.0, "none")
