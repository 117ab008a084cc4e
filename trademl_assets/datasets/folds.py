"""Folds of a split: where a search trains and validates, and where predictions come from models that saw no label."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, count, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.calendar_length import CalendarLength
from trademl_assets.datasets.split_parameters import Overlap
from trademl_assets.datasets.splits import (
    Block,
    Instants,
    Span,
    cut_out,
    merge,
    place_in_spans,
    within_embargo,
)
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, from_microseconds, to_microseconds

DEVELOPMENT_PARTS = ("train", "validation")
MOST_FOLDS = 10_000


@dataclass(frozen=True)
class Fold:
    """Time that a model trains on, and time it is validated on; spans are in time order and do not touch.

    The training time already leaves out every calibration, test and degradation block with the embargo after it; the
    embargo after the fold's own validation is `fold_rows`' to keep.

    Raises:
        ValueError: Training and validation overlap, or one of them is empty.
    """

    train: tuple[Span, ...]
    validation: tuple[Span, ...]

    def __post_init__(self) -> None:
        """Refuse what is no fold."""
        if not self.train or not self.validation:
            found = ", ".join(str(span) for span in (*self.train, *self.validation)) or "neither"
            raise ValueError(
                f"a fold needs training and validation time, found {found}: use fewer or longer pieces, or "
                "look whether the embargo after held-out blocks leaves any training"
            )
        if cut_out(self.validation, self.train) != self.validation:
            train, validation = (", ".join(map(str, spans)) for spans in (self.train, self.validation))
            raise ValueError(f"training ({train}) and validation ({validation}) of a fold overlap")


@dataclass(frozen=True)
class FoldRows:
    """Which rows a fold trains on and validates on, and which of its time it leaves out, each (n,) bool."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    purged: NDArray[np.bool_]
    embargoed: NDArray[np.bool_]


def fold_rows(
    fold: Fold, t0_us: Instants, t1_us: Instants, embargo_seconds: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows a fold trains on, and which it validates on; O(n log spans).

    A row belongs where its whole label span [t0, t1] lies in one stretch of training, or of validation, t1 at most its
    end. Training that starts less than `embargo_seconds` after the end of a validation stretch is left out.

    Args:
        fold: the fold.
        t0_us: (n,) starts of labels, in any order.
        t1_us: (n,) ends.
        embargo_seconds: as the split states it.

    Returns:
        train, validation: (n,) bool each.
    """
    rows = judge_rows(fold, t0_us, t1_us, embargo_seconds)
    return rows.train, rows.validation


def judge_rows(fold: Fold, t0_us: Instants, t1_us: Instants, embargo_seconds: int) -> FoldRows:
    """As `fold_rows`, with the rows of the fold's time that purge and embargo leave out."""
    in_train, whole_in_train = place_in_spans(t0_us, t1_us, fold.train)
    in_validation, validation = place_in_spans(t0_us, t1_us, fold.validation)
    embargoed = whole_in_train & within_embargo(t0_us, fold.validation, embargo_seconds)
    purged = ((in_train >= 0) & ~whole_in_train) | ((in_validation >= 0) & ~validation)
    return FoldRows(whole_in_train & ~embargoed, validation, purged, embargoed)


@dataclass(frozen=True)
class Development:
    """The time in which folds may lie.

    Attributes:
        spans: time of the train and validation blocks.
        trainable: the same without the embargo after every held-out block.
        held_out: calibration, test and degradation blocks.
    """

    spans: tuple[Span, ...]
    trainable: tuple[Span, ...]
    held_out: tuple[Block, ...]

    @classmethod
    def of(cls, blocks: Sequence[Block], embargo_seconds: int) -> "Development":
        """Find the time of development in the final blocks."""
        spans = merge(block.span for block in blocks if block.part in DEVELOPMENT_PARTS)
        held_out = tuple(block for block in blocks if block.part not in DEVELOPMENT_PARTS)
        embargo_us = embargo_seconds * MICROSECONDS_PER_SECOND
        return cls(spans, cut_out(spans, (Span(b.last_us, b.last_us + embargo_us) for b in held_out)), held_out)

    def fold(self, train: Sequence[Span], validation: Sequence[Span]) -> Fold:
        """The fold whose training is the trainable part of `train`, without its validation."""
        outside = cut_out([Span(self.spans[0].first_us, self.spans[-1].last_us)], train)
        return Fold(cut_out(self.trainable, [*outside, *validation]), merge(validation))

    def slice(self, first_us: int, last_us: int) -> tuple[Span, ...]:
        """The spans from `first_us` to `last_us` of development time, which stands still outside of it."""
        found, passed = [], 0
        for span in self.spans:
            first = span.first_us + max(first_us - passed, 0)
            last = span.first_us + min(last_us - passed, span.last_us - span.first_us)
            if first < last:
                found.append(Span(first, last))
            passed += span.last_us - span.first_us
        return tuple(found)

    @property
    def length_us(self) -> int:
        """How long development lasts."""
        return sum(span.last_us - span.first_us for span in self.spans)


@dataclass(frozen=True)
class Window:
    """A stated pair of training and validation on the calendar; `train` None begins at the dataset's start."""

    train: CalendarLength | None
    train_last: datetime
    validation: CalendarLength


def lay_windows(
    development: Development, windows: Sequence[Window], on_overlap: Overlap
) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    """Folds of stated windows in time order, and a sentence for each that was moved.

    A validation window on a degradation block is moved back to end where that block begins, and the windows before it
    give way; training ends with it. Nothing else is moved.

    Raises:
        ValueError: A window overlaps another one or a held-out block, or leaves development.
    """
    folds: list[Fold] = []
    notes: list[str] = []
    spans = [_stated_span(window) for window in windows]
    if any(left.last_us > right.first_us for left, right in pairwise(spans)):
        raise ValueError("the folds' validation windows overlap each other: make step at least as long as validation")
    later_us = development.spans[-1].last_us
    if spans[-1].last_us > later_us:
        raise ValueError(
            f"the last fold's validation ({spans[-1]}) ends after the train and validation blocks do "
            f"({from_microseconds(later_us).isoformat()}): use fewer or shorter windows"
        )
    for number, window, stated in reversed(list(zip(count(1), windows, spans, strict=False))):
        placed, reason = _place(development, window, stated, later_us)
        if placed != stated and on_overlap == "refuse":
            raise ValueError(
                f"the validation of fold {number} ({stated}) overlaps {reason}: the search would select on it; move "
                "one of them, or write on_overlap: shift"
            )
        later_us = placed.first_us
        ends = from_microseconds(placed.first_us)
        begin = development.spans[0].first_us if window.train is None else to_microseconds(window.train.after(ends, -1))
        if begin < development.spans[0].first_us or begin >= placed.first_us:
            raise ValueError(f"fold {number}, validated on {placed}, has no room to train: use fewer windows")
        if placed != stated:
            notes.append(
                f"fold {number}: its validation window {stated} overlaps {reason} and was moved back to {placed}; its "
                "training ends where that begins"
            )
        folds.append(development.fold([Span(begin, placed.first_us)], [placed]))
    return tuple(reversed(folds)), tuple(reversed(notes))


def _stated_span(window: Window) -> Span:
    return Span(to_microseconds(window.train_last), to_microseconds(window.validation.after(window.train_last)))


def _place(development: Development, window: Window, stated: Span, later_us: int) -> tuple[Span, str]:
    """The latest span that ends neither after the stated one nor on something held out, and what was in the way."""
    placed = stated
    reasons: list[str] = []
    while True:
        blocking = _first_blocking(development, placed, later_us)
        if blocking is None:
            return placed, " and ".join(reasons)
        edge_us, reason, movable = blocking
        if not movable:
            raise ValueError(f"the validation window {placed} of a fold overlaps {reason}: write the windows elsewhere")
        reasons.append(reason)
        last = from_microseconds(edge_us)
        placed = Span(to_microseconds(window.validation.after(last, -1)), edge_us)


def _first_blocking(development: Development, placed: Span, later_us: int) -> tuple[int, str, bool] | None:
    for block in development.held_out:
        if block.first_us < placed.last_us and placed.first_us < block.last_us:
            return block.first_us, f"the {block}", block.part == "degradation"
    if placed.last_us > later_us:
        return later_us, "the next fold's validation", True
    return None


def lay_series(development: Development, n_splits: int, resolution_seconds: int) -> tuple[Fold, ...]:
    """Folds of scikit-learn's TimeSeriesSplit, without its gap, on development time.

    Raises:
        ValueError: Development is shorter than n_splits + 1 units.
    """
    unit = resolution_seconds * MICROSECONDS_PER_SECOND
    total = development.length_us
    piece = total // unit // (n_splits + 1) * unit
    _refuse_no_piece(piece, n_splits + 1, resolution_seconds)
    firsts = [total - left * piece for left in range(n_splits, 0, -1)]
    return tuple(
        development.fold(development.slice(0, first), development.slice(first, first + piece)) for first in firsts
    )


def lay_combinations(
    development: Development, groups: int, test_groups: int, resolution_seconds: int
) -> tuple[Fold, ...]:
    """Folds of combinatorial purged cross-validation, in the order of `itertools.combinations` over the groups.

    Raises:
        ValueError: Development is shorter than `groups` units, or there are too many choices to write down.
    """
    if comb(groups, test_groups) > MOST_FOLDS:
        raise ValueError(
            f"{test_groups} of {groups} groups can be chosen in {comb(groups, test_groups):,} ways, more than "
            f"{MOST_FOLDS:,} folds: use fewer groups"
        )
    unit = resolution_seconds * MICROSECONDS_PER_SECOND
    piece = development.length_us // unit // groups * unit
    _refuse_no_piece(piece, groups, resolution_seconds)
    bounds = [number * piece for number in range(groups)] + [development.length_us]
    cut = [development.slice(first, last) for first, last in pairwise(bounds)]
    return tuple(
        development.fold(development.spans, [span for group in chosen for span in cut[group]])
        for chosen in combinations(range(groups), test_groups)
    )


def count_paths(groups: int, test_groups: int) -> int:
    """Number of backtest paths that the folds of combinatorial purged cross-validation make up."""
    return comb(groups - 1, test_groups - 1)


def _refuse_no_piece(piece_us: int, pieces: int, resolution_seconds: int) -> None:
    if piece_us <= 0:
        raise ValueError(
            f"the train and validation blocks are shorter than {pieces} times resolution_seconds "
            f"({resolution_seconds}): use fewer pieces"
        )
