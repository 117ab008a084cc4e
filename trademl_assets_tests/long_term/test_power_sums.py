import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from trademl_assets.long_term.power_sums import CentralMoments, central_moments

EPS = np.finfo(np.float64).eps


def shifted_sums(values, shift):
    """Sums of powers around a shift, one column."""
    apart = np.asarray(values, dtype=np.float64) - shift
    sums = np.array([[np.sum(apart**power)] for power in (1, 2, 3, 4)])
    return central_moments(np.array([len(apart)]), np.array([shift]), sums)


def expected_of(values, offset=0.0):
    """What scipy says of the values; an offset that all share is left out before, as scipy's mean rounds at it."""
    apart = np.asarray(values, dtype=np.float64) - offset
    return offset + apart.mean(), apart.std(), stats.skew(apart), stats.kurtosis(apart)


def described(moments):
    return [float(value[0]) for value in moments.described()]


HARD = {
    "two points": [1.0, 3.0],
    "huge offset": 1e9 + np.random.default_rng(1).normal(0, 1, 5_000),
    "the first far from all others": np.concatenate([[1e6], np.random.default_rng(2).normal(0, 1, 5_000)]),
    "one far from all others": np.concatenate([np.random.default_rng(3).normal(0, 1, 5_000), [1e6]]),
    "tiny numbers": np.random.default_rng(4).normal(0, 1, 5_000) * 1e-12,
    "large numbers": np.random.default_rng(5).lognormal(20, 2, 5_000),
}


@pytest.mark.parametrize("name", HARD)
def test_sums_around_the_first_value_equal_scipy_on_hard_cases(name):
    values = np.asarray(HARD[name])

    found = described(shifted_sums(values, values[0]))

    expected = expected_of(values, 1e9 if name == "huge offset" else 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 2_000),
    center=st.floats(-1e6, 1e6),
    which=st.integers(0, 1_999),
)
@settings(max_examples=80, deadline=None)
def test_whichever_value_is_the_shift_about_the_count_times_rounding_is_lost(seed, count, center, which):
    values = center + np.random.default_rng(seed).standard_t(3, count)

    found = shifted_sums(values, values[which % count])

    # what rounding the values themselves at the offset leaves open, and count times rounding
    open_share = 1e3 * EPS * (count + abs(center) / values.std())
    np.testing.assert_allclose(described(found), expected_of(values), rtol=open_share, atol=open_share * count**1.5)


def test_constant_values_have_no_skewness_and_no_kurtosis():
    mean, std, skew, kurtosis = described(shifted_sums([0.1] * 7, 0.1))

    assert (mean, std) == (0.1, 0.0)
    assert np.isnan([skew, kurtosis]).all()


def test_nothing_has_no_moments():
    mean, std, skew, kurtosis = described(shifted_sums([], 0.0))

    assert np.isnan([mean, std, skew, kurtosis]).all()


def columns_of(parts):
    moments = [shifted_sums(part, part[0] if len(part) else 0.0) for part in parts]
    names = ("count", "mean", "second", "third", "fourth")
    return CentralMoments(**{name: np.concatenate([getattr(one, name) for one in moments]) for name in names})


@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 300), min_size=1, max_size=6))
@settings(max_examples=80, deadline=None)
def test_columns_combine_to_the_moments_of_all_their_values(seed, counts):
    random = np.random.default_rng(seed)
    parts = [random.normal(random.normal(0, 50), 1, count) for count in counts]
    everything = np.concatenate(parts)

    found = columns_of(parts).combined([slice(0, len(parts))])

    assert found.count[0] == len(everything)
    if len(everything) > 1:
        np.testing.assert_allclose(described(found), expected_of(everything), rtol=1e-9, atol=1e-9)
    else:
        assert np.isnan(described(found)[2:]).all()


def test_groups_may_overlap_and_leave_columns_out():
    parts = [np.array([1.0, 2.0, 4.0]), np.array([5.0, 5.0]), np.array([-1.0])]

    found = columns_of(parts).combined([slice(0, 2), slice(1, 3), slice(2, 3)])

    assert found.count.tolist() == [5, 3, 1]
    np.testing.assert_allclose(found.described()[0], [3.4, 3.0, -1.0])
    np.testing.assert_allclose(found.described()[1], [np.std([1, 2, 4, 5, 5]), np.std([5, 5, -1]), 0.0])
