"""Blocks in time, and which samples each may have: a label's span stays inside its block, training keeps an embargo."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.split_parameters import Part
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, from_microseconds

Instants = NDArray[np.int64]
NO_BLOCK = -1


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of time [first_us, last_us), microseconds UTC."""

    first_us: int
    last_us: int

    def __str__(self) -> str:
        """Both ends, without the time of day where both are midnights."""
        first, last = from_microseconds(self.first_us), from_microseconds(self.last_us)
        midnights = first.time() == last.time() == first.time().min
        return f"{first.date()} to {last.date()}" if midnights else f"{first.isoformat()} to {last.isoformat()}"


@dataclass(frozen=True)
class Block:
    """A part's stretch of time [first_us, last_us), microseconds UTC; degradation blocks have a name."""

    part: Part
    first_us: int
    last_us: int
    name: str = ""

    @property
    def span(self) -> Span:
        """Its stretch of time."""
        return Span(self.first_us, self.last_us)

    def __str__(self) -> str:
        """What messages call it."""
        return f"{self.part} block {self.name!r} ({self.span})" if self.name else f"{self.part} block ({self.span})"


@dataclass(frozen=True)
class Assignment:
    """Which block each sample belongs to.

    Attributes:
        block: (n,) int16 block number, -1 where the sample is not taken.
        outside, purged, embargoed: how many samples lie in no block, have a label that ends after their block, or are
            training samples within the embargo after a held-out block.
    """

    block: NDArray[np.int16]
    outside: int
    purged: int
    embargoed: int


def assign_blocks(t0_us: Instants, t1_us: Instants, blocks: tuple[Block, ...], embargo_seconds: int) -> Assignment:
    """Give each label span [t0, t1] its block: t0 inside it, t1 at most its end; O(n log blocks).

    Only the label's span purges: inputs may reach back into earlier blocks. Training samples that start less than
    `embargo_seconds` after the end of a held-out block are left out. Blocks are in time order, with or without gaps.
    """
    spans = [block.span for block in blocks]
    number, contained = place_in_spans(t0_us, t1_us, spans)
    outside = number == NO_BLOCK
    purged = ~outside & ~contained
    training = ~outside & np.asarray([block.part == "train" for block in blocks])[number]
    held_out = [block.span for block in blocks if block.part != "train"]
    embargoed = training & contained & within_embargo(t0_us, held_out, embargo_seconds)
    kept = np.where(purged | embargoed, NO_BLOCK, number).astype(np.int16)
    return Assignment(kept, int(outside.sum()), int(purged.sum()), int(embargoed.sum()))


def place_in_spans(
    t0_us: Instants, t1_us: Instants, spans: Sequence[Span]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of each label span [t0, t1]: the number of the span t0 lies in (-1: none), and whether t1 is at most its end.

    Args:
        t0_us: (n,) starts, in any order.
        t1_us: (n,) ends.
        spans: in time order, not overlapping.
    """
    if not spans:
        return np.full(len(t0_us), NO_BLOCK), np.zeros(len(t0_us), dtype=np.bool_)
    firsts, ends = np.asarray([span.first_us for span in spans]), np.asarray([span.last_us for span in spans])
    number = np.searchsorted(firsts, t0_us, side="right") - 1
    inside = (number >= 0) & (t0_us < ends[number])
    return np.where(inside, number, NO_BLOCK), inside & (t1_us <= ends[number])


def within_embargo(t0_us: Instants, held_out: Sequence[Span], embargo_seconds: int) -> NDArray[np.bool_]:
    """(n,) which instants lie less than `embargo_seconds` after the end of a held-out span; O(n log spans)."""
    if not held_out:
        return np.zeros(len(t0_us), dtype=np.bool_)
    ends = np.sort(np.asarray([span.last_us for span in held_out]))
    latest = np.searchsorted(ends, t0_us, side="right") - 1
    return np.asarray((latest >= 0) & (t0_us - ends[latest] < embargo_seconds * MICROSECONDS_PER_SECOND))


def effective_samples(t0_us: Instants, t1_us: Instants) -> float:
    """Number of independent labels: the time their spans cover together, over their mean length.

    Args:
        t0_us: (n,) starts, sorted.
        t1_us: (n,) ends.
    """
    if not len(t0_us):
        return 0.0
    covered_before = np.concatenate([t0_us[:1], np.maximum.accumulate(t1_us)[:-1]])
    covered = np.maximum(t1_us - np.maximum(t0_us, covered_before), 0).sum()
    return float(covered / (t1_us - t0_us).mean())


def in_hindsight(block: Block, blocks: Sequence[Block]) -> bool:
    """Whether a held-out block lies before later training: judged on it, a model knows what came after."""
    return block.part != "train" and any(other.part == "train" and other.first_us >= block.last_us for other in blocks)


def insert_degradation(blocks: Sequence[Block], degradation: Sequence[Block]) -> tuple[Block, ...]:
    """Cut degradation blocks out of the training blocks; the result is in time order.

    Raises:
        ValueError: They overlap each other or a part other than training, or leave no training.
    """
    laid = list(blocks)
    for new in degradation:
        for old in laid:
            if old.part != "train" and old.first_us < new.last_us and new.first_us < old.last_us:
                raise ValueError(f"the {new} overlaps the {old}: only training gives way, move or shorten one of them")
        trained = [block for block in laid if block.part == "train"]
        rest = [
            replace(b, first_us=s.first_us, last_us=s.last_us) for b in trained for s in cut_out([b.span], [new.span])
        ]
        laid = [*(block for block in laid if block.part != "train"), *rest, new]
    if not any(block.part == "train" for block in laid):
        raise ValueError("degradation blocks leave no training: shorten them")
    return tuple(sorted(laid, key=lambda block: block.first_us))


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time as few spans, in order."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.first_us <= merged[-1].last_us:
            merged[-1] = Span(merged[-1].first_us, max(merged[-1].last_us, span.last_us))
        else:
            merged.append(span)
    return tuple(merged)


def cut_out(spans: Iterable[Span], holes: Iterable[Span]) -> tuple[Span, ...]:
    """The time of `spans` that is in no hole, merged."""
    left = list(merge(spans))
    for hole in merge(holes):
        left = [
            piece
            for span in left
            for piece in (
                Span(span.first_us, min(span.last_us, hole.first_us)),
                Span(max(span.first_us, hole.last_us), span.last_us),
            )
            if piece.first_us < piece.last_us
        ]
    return tuple(left)


def trains_after(training: Sequence[Span], held_out: Sequence[Span]) -> bool:
    """Whether any training lies after a held-out span."""
    return bool(training and held_out) and max(t.last_us for t in training) > min(h.last_us for h in held_out)
