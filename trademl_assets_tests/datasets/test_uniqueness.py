import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.uniqueness import concurrency, mean_uniqueness


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile before the examples are timed."""
    mean_uniqueness(np.asarray([0]), np.asarray([1]))


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 25)), min_size=1, max_size=40).map(
    lambda drawn: (np.asarray([t0 for t0, _ in drawn]), np.asarray([t0 + length for t0, length in drawn]))
)


@given(spans)
def test_counts_are_those_of_a_look_at_every_instant(labels: tuple[np.ndarray, np.ndarray]) -> None:
    t0, t1 = labels

    found = concurrency(t0, t1)

    assert found.instants_us.tolist() == sorted({*t0.tolist(), *t1.tolist()})
    for instant, count in zip(found.instants_us, found.counts, strict=True):
        assert count == sum(a <= instant < b for a, b in zip(t0, t1, strict=True))


@given(spans)
def test_uniqueness_is_the_mean_of_inverse_concurrency_over_the_span(labels: tuple[np.ndarray, np.ndarray]) -> None:
    t0, t1 = labels

    found = mean_uniqueness(t0, t1)

    ticks = np.arange(t1.max())
    under_way = (t0[:, None] <= ticks) & (ticks < t1[:, None])
    counts = under_way.sum(axis=0)
    expected = [(1 / counts[row]).mean() for row in under_way]
    assert found == pytest.approx(expected, rel=1e-12)


@given(spans, st.randoms(use_true_random=False))
def test_uniqueness_adds_up_to_the_time_covered_and_follows_its_label(
    labels: tuple[np.ndarray, np.ndarray], random: np.random.Generator
) -> None:
    t0, t1 = labels
    order = list(range(len(t0)))
    random.shuffle(order)

    found = mean_uniqueness(t0, t1)

    covered = len({tick for a, b in zip(t0, t1, strict=True) for tick in range(a, b)})
    assert (found * (t1 - t0)).sum() == pytest.approx(covered)
    assert np.all((found > 0) & (found <= 1))
    assert mean_uniqueness(t0[order], t1[order]) == pytest.approx(found[order], rel=1e-12)


def test_labels_apart_are_unique_and_equal_ones_share() -> None:
    assert mean_uniqueness(np.asarray([0, 10, 30]), np.asarray([10, 20, 40])).tolist() == [1.0, 1.0, 1.0]
    assert mean_uniqueness(np.full(4, 5), np.full(4, 9)).tolist() == [0.25] * 4
    assert mean_uniqueness(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []


def test_years_of_microseconds_lose_no_digits() -> None:
    """Far from zero and after a million labels, the same pattern has the same uniqueness."""
    first = 1_600_000_000_000_000
    t0 = first + np.arange(1_000_000) * 60_000_000
    found = mean_uniqueness(t0, t0 + 1_800_000_000)
    np.testing.assert_allclose(found[100:-100], 1 / 30, rtol=1e-9)


def test_a_label_that_ends_where_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="label span 1 ends at 7 us"):
        mean_uniqueness(np.asarray([0, 7]), np.asarray([3, 7]))
