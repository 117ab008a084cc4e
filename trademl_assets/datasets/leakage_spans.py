"""Rules on time: label spans, purge, embargo, what calibration is kept apart from, and the folds of a search."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.folds import Fold, fold_rows
from trademl_assets.datasets.leakage_findings import Finding, counted
from trademl_assets.datasets.splits import Block, Instants, Span
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND

Rows = NDArray[np.bool_]
FITTED_PARTS = ("train", "validation")
"""Parts that weights, early stopping and the search see."""
APART = "no training label span overlaps a validation one"


def audit_spans(
    index: pl.DataFrame, blocks: Sequence[Block], embargo_seconds: int, folds: Sequence[Mapping[str, Any]]
) -> list[Finding]:
    """Hold every row's label span against the blocks and the folds.

    Args:
        index: columns part, t0, t1; several rows may share a decision.
        blocks: of the split, in time order.
        embargo_seconds: as the split states it.
        folds: as the recipe states them: `train` and `validation`, spans [first, last) in microseconds UTC.
    """
    t0, t1 = spans_of(index)
    part = index["part"].to_numpy()
    train, calibration = part == "train", part == "calibration"
    inside = np.zeros(index.height, dtype=np.bool_)
    for block in blocks:
        inside |= (part == block.part) & (t0 >= block.first_us) & (t1 <= block.last_us)
    ends = [block.last_us for block in blocks if block.part != "train"]
    overlapping = train & overlaps(t0, t1, ~train)
    fitted = calibration & overlaps(t0, t1, np.isin(part, FITTED_PARTS))
    strangers = _strangers(calibration, t0)
    return [
        counted("label spans end inside their block", ~inside, index),
        counted("no training label span overlaps a held-out one", overlapping, index),
        counted(
            "training keeps the embargo after held-out blocks", train & _embargoed(t0, ends, embargo_seconds), index
        ),
        counted("the calibration block is contiguous", strangers, index),
        counted("no calibration label span overlaps one of training or early stopping", fitted, index),
        *audit_folds(index, blocks, embargo_seconds, folds),
    ]


def audit_folds(
    index: pl.DataFrame, blocks: Sequence[Block], embargo_seconds: int, folds: Sequence[Mapping[str, Any]]
) -> list[Finding]:
    """Hold the rows of every fold apart from each other, and from what is held out of all folds."""
    if not folds:
        return []
    t0, t1 = spans_of(index)
    held_out = [block for block in blocks if block.part not in FITTED_PARTS]
    away = ~np.isin(index["part"].to_numpy(), FITTED_PARTS)
    overlapping, embargoed, known = (np.zeros(index.height, dtype=np.bool_) for _ in range(3))
    strayed: list[str] = []
    for number, stated in enumerate(folds, 1):
        try:
            fold = Fold(spans_stated(stated["train"]), spans_stated(stated["validation"]))
        except ValueError as error:
            return [Finding.of(f"folds: {APART}", holds=False, detail=f"fold {number}: {error}")]
        train, validation = fold_rows(fold, t0, t1, embargo_seconds)
        overlapping |= train & overlaps(t0, t1, validation)
        embargoed |= train & _embargoed(t0, [span.last_us for span in fold.validation], embargo_seconds)
        known |= (train | validation) & (away | overlaps(t0, t1, away))
        strayed += [
            f"fold {number} has {span}, within the {block}"
            for span in (*fold.train, *fold.validation)
            for block in held_out
            if span.first_us < block.last_us and block.first_us < span.last_us
        ]
    said = "; ".join(strayed[:1]) or f"{len(folds)} folds"
    return [
        counted(f"folds: {APART}", overlapping, index),
        counted("folds: training keeps the embargo after validation", embargoed, index),
        counted("folds: no label of theirs overlaps one of calibration, test or degradation", known, index),
        Finding.of("folds: their time leaves out calibration, test and degradation", holds=not strayed, detail=said),
    ]


def spans_of(index: pl.DataFrame) -> tuple[Instants, Instants]:
    """Begin and end of every row's label, microseconds UTC."""
    return index["t0"].to_physical().to_numpy(), index["t1"].to_physical().to_numpy()


def overlaps(t0_us: Instants, t1_us: Instants, others: Rows) -> Rows:
    """(n,) which spans (t0, t1) share time with one of the `others` among them; O(n log n).

    A span that is one of the others overlaps itself.
    """
    begun = np.searchsorted(np.sort(t0_us[others]), t1_us, side="left")
    ended = np.searchsorted(np.sort(t1_us[others]), t0_us, side="right")
    return np.asarray(begun > ended)


def spans_stated(stated: Sequence[Any]) -> tuple[Span, ...]:
    """Spans as a recipe has them: a list of pairs, or one pair."""
    pairs = stated if stated and isinstance(stated[0], Sequence) else [stated]
    return tuple(Span(int(first), int(last)) for first, last in pairs)


def _embargoed(t0_us: Instants, ends_us: Sequence[int], embargo_seconds: int) -> Rows:
    since = np.full(len(t0_us), np.iinfo(np.int64).max)
    for end in ends_us:
        since = np.where(t0_us >= end, np.minimum(since, t0_us - end), since)
    return np.asarray(since < embargo_seconds * MICROSECONDS_PER_SECOND)


def _strangers(calibration: Rows, t0_us: Instants) -> Rows:
    """Rows of other parts that are decided between the first and the last calibration decision."""
    if not calibration.any():
        return np.zeros(len(t0_us), dtype=np.bool_)
    decided = t0_us[calibration]
    return np.asarray(~calibration & (t0_us >= decided.min()) & (t0_us <= decided.max()))
