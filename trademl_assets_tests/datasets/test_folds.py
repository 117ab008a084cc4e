from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from trademl_assets.datasets.folds import Development, Fold, count_paths, fold_rows, lay_combinations, lay_series
from trademl_assets.datasets.splits import Block, Span, cut_out, merge

SECOND = 1_000_000


def spans(*pairs: tuple[int, int]) -> tuple[Span, ...]:
    return tuple(Span(first * SECOND, last * SECOND) for first, last in pairs)


def seconds(found: tuple[Span, ...]) -> set[int]:
    return {second for span in found for second in range(span.first_us // SECOND, span.last_us // SECOND)}


some_spans = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20)), max_size=5).map(
    lambda pairs: spans(*((first, first + length) for first, length in pairs))
)


@given(some_spans, some_spans)
def test_merged_and_cut_time_is_the_same_set_of_seconds(left: tuple[Span, ...], right: tuple[Span, ...]) -> None:
    assert seconds(merge(left)) == seconds(left)
    assert seconds(cut_out(left, right)) == seconds(left) - seconds(right)
    for found in (merge(left), cut_out(left, right)):
        assert all(a.last_us < b.first_us for a, b in pairwise(found))


@settings(max_examples=200)
@given(
    some_spans,
    some_spans,
    st.lists(st.tuples(st.integers(-5, 110), st.integers(0, 30)), min_size=1, max_size=80),
    st.integers(0, 40),
)
def test_rows_of_a_fold_are_those_of_the_plain_rule(
    train: tuple[Span, ...], validation: tuple[Span, ...], labels: list[tuple[int, int]], embargo: int
) -> None:
    validation = merge(validation)
    train = cut_out(train, validation)
    assume(train and validation)
    fold = Fold(train, validation)
    t0 = np.asarray([start for start, _ in labels]) * SECOND
    t1 = t0 + np.asarray([length for _, length in labels]) * SECOND

    def within(start: int, end: int, some: tuple[Span, ...]) -> bool:
        return any(span.first_us <= start < span.last_us and end <= span.last_us for span in some)

    def embargoed(start: int) -> bool:
        return any(0 <= start - span.last_us < embargo * SECOND for span in validation)

    trained, validated = fold_rows(fold, t0, t1, embargo)
    assert validated.tolist() == [within(a, b, validation) for a, b in zip(t0, t1, strict=True)]
    assert trained.tolist() == [within(a, b, train) and not embargoed(a) for a, b in zip(t0, t1, strict=True)]


def prado_train_times(t0: np.ndarray, t1: np.ndarray, tested: np.ndarray, embargo_us: int) -> np.ndarray:
    """Snippet 7.1 with half-open labels, then the embargo: rows whose label overlaps no tested label, O(n * m)."""
    kept = ~tested
    for first, last in zip(t0[tested], t1[tested], strict=True):
        kept &= ~((t0 < last) & (first < t1))
    for last in t0[tested] + SECOND:
        kept &= ~((t0 >= last) & (t0 < last + embargo_us)) | tested
    return kept


@pytest.mark.parametrize(("groups", "test_groups"), [(6, 2), (5, 1), (4, 3)])
def test_combinatorial_folds_are_those_of_lopez_de_prado(groups: int, test_groups: int) -> None:
    horizon, embargo, total = 7, 20, 240
    development = Development.of((Block("train", 0, total * SECOND),), 0)
    folds = lay_combinations(development, groups, test_groups, 1)
    t0 = np.arange(total) * SECOND
    t1 = t0 + horizon * SECOND
    whole = t1 <= total * SECOND
    group = np.minimum(np.arange(total) // (total // groups), groups - 1)
    chosen = list(combinations(range(groups), test_groups))
    assert len(folds) == len(chosen)
    for fold, tested_groups in zip(folds, chosen, strict=True):
        trained, validated = fold_rows(fold, t0, t1, embargo)
        in_test = np.isin(group, tested_groups)
        assert (validated & ~in_test).sum() == 0
        expected = prado_train_times(t0, t1, in_test, embargo * SECOND)
        # a tested label that runs past its group is purged here instead of the training labels it would reach,
        # which the embargo, never shorter than the horizon, leaves out in any case
        assert trained.tolist() == (expected & whole).tolist()


SKFOLIO: dict[tuple[int, int, int, int, int], list[list[tuple[int, int]]]] = {
    (60, 4, 2, 2, 1): [
        [(33, 60)],
        [(18, 28), (48, 60)],
        [(18, 43)],
        [(0, 13), (48, 60)],
        [(0, 13), (33, 43)],
        [(0, 28)],
    ],
    (100, 5, 2, 4, 6): [
        [(50, 100)],
        [(30, 36), (70, 100)],
        [(30, 56), (90, 100)],
        [(30, 76)],
        [(0, 16), (70, 100)],
        [(0, 16), (50, 56), (90, 100)],
        [(0, 16), (50, 76)],
        [(0, 36), (90, 100)],
        [(0, 36), (70, 76)],
        [(0, 56)],
    ],
    (47, 3, 2, 5, 0): [[(35, 47)], [(20, 25)], [(0, 10)]],
    (90, 6, 3, 3, 5): [
        [(53, 90)],
        [(38, 42), (68, 90)],
        [(38, 57), (83, 90)],
        [(38, 72)],
        [(23, 27), (68, 90)],
        [(23, 27), (53, 57), (83, 90)],
        [(23, 27), (53, 72)],
        [(23, 42), (83, 90)],
        [(23, 42), (68, 72)],
        [(23, 57)],
        [(0, 12), (68, 90)],
        [(0, 12), (53, 57), (83, 90)],
        [(0, 12), (53, 72)],
        [(0, 12), (38, 42), (83, 90)],
        [(0, 12), (38, 42), (68, 72)],
        [(0, 12), (38, 57)],
        [(0, 27), (83, 90)],
        [(0, 27), (68, 72)],
        [(0, 27), (53, 57)],
        [(0, 42)],
    ],
}
"""Training rows of skfolio 1.12.2's CombinatorialPurgedCV, as half-open ranges for each fold, recorded from it; by
rows, n_folds, n_test_folds, purged_size and embargo_size."""


@pytest.mark.parametrize("case", SKFOLIO)
def test_combinatorial_folds_train_on_the_rows_of_skfolio(case: tuple[int, int, int, int, int]) -> None:
    rows, groups, test_groups, purged, embargo = case
    folds = lay_combinations(Development.of((Block("train", 0, rows * SECOND),), 0), groups, test_groups, 1)
    t0 = np.arange(rows) * SECOND
    t1 = t0 + (purged + 1) * SECOND  # a label of n rows reaches n - 1 rows beyond its own
    assert len(folds) == len(SKFOLIO[case])
    for fold, ranges in zip(folds, SKFOLIO[case], strict=True):
        trained, _ = fold_rows(fold, t0, t1, purged + embargo)
        expected = {row for first, last in ranges for row in range(first, last)}
        unknown = set(range(rows - purged, rows))  # labels that end after the data, which skfolio does not look at
        assert set(np.flatnonzero(trained).tolist()) == expected - unknown


def test_every_group_is_tested_in_as_many_folds_as_there_are_paths() -> None:
    development = Development.of((Block("train", 0, 60 * SECOND),), 0)
    folds = lay_combinations(development, 6, 2, 1)
    assert len(folds) == 15
    assert count_paths(6, 2) == 5
    tested = [sum(second in seconds(fold.validation) for fold in folds) for second in range(60)]
    assert set(tested) == {5}


def test_more_choices_than_can_be_written_down_are_refused() -> None:
    development = Development.of((Block("train", 0, 600 * SECOND),), 0)
    with pytest.raises(ValueError, match=r"10 of 30 groups can be chosen in 30,045,015 ways"):
        lay_combinations(development, 30, 10, 1)


@pytest.mark.parametrize("groups", [61, 100])
def test_development_shorter_than_its_pieces_is_refused(groups: int) -> None:
    development = Development.of((Block("train", 0, 60 * SECOND),), 0)
    with pytest.raises(ValueError, match="use fewer pieces"):
        lay_combinations(development, groups, 1, 1)
    with pytest.raises(ValueError, match="use fewer pieces"):
        lay_series(development, groups - 1, 1)


@given(st.integers(2, 6), st.integers(20, 400))
def test_time_series_folds_are_those_of_scikit_learn(n_splits: int, rows: int) -> None:
    development = Development.of((Block("train", 0, rows * SECOND),), 0)
    t0 = np.arange(rows) * SECOND
    found = [fold_rows(fold, t0, t0, 0) for fold in lay_series(development, n_splits, 1)]
    expected = list(TimeSeriesSplit(n_splits=n_splits).split(np.zeros(rows)))
    for (trained, validated), (train, test) in zip(found, expected, strict=True):
        assert np.flatnonzero(trained).tolist() == train.tolist()
        assert np.flatnonzero(validated).tolist() == test.tolist()


@given(
    st.lists(
        st.tuples(st.sampled_from(["train", "validation", "calibration", "test", "degradation"]), st.integers(8, 40)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["series", "combinations"]),
    st.integers(0, 6),
)
def test_folds_lie_in_development_and_keep_the_embargo_after_everything_held_out(
    parts: list[tuple[Any, int]], kind: str, embargo: int
) -> None:
    parts = [("train", 30), *parts]
    ends = np.cumsum([length for _, length in parts])
    blocks = tuple(
        Block(part, int(end - length) * SECOND, int(end) * SECOND)
        for (part, length), end in zip(parts, ends, strict=True)
    )
    development = Development.of(blocks, embargo)
    folds = lay_series(development, 3, 1) if kind == "series" else lay_combinations(development, 4, 2, 1)
    open_time = seconds(tuple(block.span for block in blocks if block.part in {"train", "validation"}))
    banned = {
        second
        for block in blocks
        if block.part not in {"train", "validation"}
        for second in range(block.first_us // SECOND, block.last_us // SECOND + embargo)
    }
    for fold in folds:
        assert seconds(fold.validation) <= open_time
        assert seconds(fold.train) <= open_time - banned - seconds(fold.validation)
        if kind == "combinations":
            assert seconds(fold.train) == open_time - banned - seconds(fold.validation)


def test_a_fold_refuses_overlap_and_emptiness() -> None:
    with pytest.raises(ValueError, match="overlap"):
        Fold(spans((0, 10)), spans((9, 12)))
    with pytest.raises(ValueError, match="needs training and validation"):
        Fold((), spans((9, 12)))
