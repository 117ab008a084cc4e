"""Blocks in time, and which samples each may have: a label's span stays inside its block, training keeps an embargo."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.parameters import Part, SplitParameters
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, to_microseconds

Instants = NDArray[np.int64]
NO_BLOCK = -1


@dataclass(frozen=True)
class Block:
    """A part's stretch of time [first_us, last_us), microseconds UTC."""

    part: Part
    first_us: int
    last_us: int


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


def lay_blocks(split: SplitParameters, start: datetime) -> tuple[Block, ...]:
    """The split's blocks back to back from `start`."""
    blocks, at = [], start
    for stated in split.blocks:
        blocks.append(Block(stated.part, to_microseconds(at), to_microseconds(at + stated.length)))
        at += stated.length
    return tuple(blocks)


def assign_blocks(t0_us: Instants, t1_us: Instants, blocks: tuple[Block, ...], embargo_seconds: int) -> Assignment:
    """Give each label span [t0, t1] its block: t0 inside it, t1 at most its end; O(n log blocks).

    Only the label's span purges: inputs may reach back into earlier blocks. Training samples that start less than
    `embargo_seconds` after the end of a held-out block are left out.
    """
    ends = np.asarray([block.last_us for block in blocks])
    number = np.searchsorted(ends, t0_us, side="right")
    outside = (number == len(blocks)) | (t0_us < blocks[0].first_us)
    number = np.where(outside, 0, number)
    purged = ~outside & (t1_us > ends[number])
    training = np.asarray([block.part == "train" for block in blocks])[number]
    embargoed = np.zeros(len(t0_us), dtype=np.bool_)
    for block in blocks:
        if block.part != "train":
            since = t0_us - block.last_us
            embargoed |= training & (since >= 0) & (since < embargo_seconds * MICROSECONDS_PER_SECOND)
    embargoed &= ~outside & ~purged
    kept = np.where(outside | purged | embargoed, NO_BLOCK, number).astype(np.int16)
    return Assignment(kept, int(outside.sum()), int(purged.sum()), int(embargoed.sum()))


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
