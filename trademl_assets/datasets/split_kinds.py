"""From a stated split to what lies where in time: the blocks of the index, the folds of the search, and notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from trademl_assets.datasets.folds import (
    Development,
    Fold,
    Window,
    count_paths,
    lay_combinations,
    lay_series,
    lay_windows,
)
from trademl_assets.datasets.split_parameters import (
    BlocksSplitParameters,
    CombinatorialSplitParameters,
    DegradationBlockParameters,
    DegradationParameters,
    ExpandingSplitParameters,
    RollingSplitParameters,
    SharesSplitParameters,
    Split,
    StatedBlock,
    TimeSeriesSplitParameters,
    exact_share,
)
from trademl_assets.datasets.splits import Block, insert_degradation, trains_after
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, to_microseconds


@dataclass(frozen=True)
class SplitLayout:
    """A split in time.

    Attributes:
        blocks: in time order; each instant has one part at most.
        folds: where the search trains and validates, within train and validation blocks; empty for kinds without.
        notes: what was decided beyond what was stated, a sentence each.
    """

    blocks: tuple[Block, ...]
    folds: tuple[Fold, ...]
    notes: tuple[str, ...]

    def trains_after_held_out(self) -> bool:
        """Whether any training, of a fold or of the parts, lies after something held out."""
        training = [block.span for block in self.blocks if block.part == "train"]
        held_out = [block.span for block in self.blocks if block.part != "train"]
        never = [block.span for block in self.blocks if block.part not in {"train", "validation"}]
        return trains_after(training, held_out) or any(
            trains_after(fold.train, [*fold.validation, *never]) for fold in self.folds
        )


def lay_split(split: Split, start: datetime, end: datetime) -> SplitLayout:
    """Lay a split into time.

    Args:
        split: as stated.
        start: where the first block begins, UTC.
        end: end of the last day, UTC: where shares without a length end.

    Raises:
        ValueError: Blocks or windows that do not fit each other.
    """
    if isinstance(split, SharesSplitParameters):
        stated = lay_shares(split, start, end if split.length is None else split.length.after(start))
    else:
        stated = lay_blocks(split.blocks, start)
    blocks = insert_degradation(stated, [_degradation_block(each, start) for each in split.degradation])
    folds, notes = _lay_folds(split, blocks, start)
    return SplitLayout(blocks, folds, notes)


def lay_blocks(stated: Sequence[StatedBlock], start: datetime) -> tuple[Block, ...]:
    """Stated blocks back to back from `start`."""
    blocks, at = [], start
    for each in stated:
        name = each.name if isinstance(each, DegradationBlockParameters) else ""
        last = each.length.after(at)
        blocks.append(Block(each.part, to_microseconds(at), to_microseconds(last), name))
        at = last
    return tuple(blocks)


def lay_shares(split: SharesSplitParameters, start: datetime, end: datetime) -> tuple[Block, ...]:
    """Blocks by share of [start, end), each but the last a whole multiple of `resolution_seconds`, rounded down.

    Raises:
        ValueError: A share is shorter than that.
    """
    unit = split.resolution_seconds * MICROSECONDS_PER_SECOND
    first_us, end_us = to_microseconds(start), to_microseconds(end)
    units = Fraction(end_us - first_us, unit)
    blocks = []
    for number, each in enumerate(split.shares, 1):
        whole = int(units * exact_share(each)) * unit
        last_us = end_us if number == len(split.shares) else first_us + whole
        if last_us <= first_us:
            raise ValueError(f"share {each.share} of part {each.part} is shorter than resolution_seconds")
        blocks.append(Block(each.part, first_us, last_us))
        first_us = last_us
    return tuple(blocks)


def _degradation_block(stated: DegradationParameters, start: datetime) -> Block:
    first = stated.after.after(start)
    return Block("degradation", to_microseconds(first), to_microseconds(stated.length.after(first)), stated.name)


def _lay_folds(split: Split, blocks: tuple[Block, ...], start: datetime) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    development = Development.of(blocks, split.embargo_seconds)
    match split:
        case BlocksSplitParameters() | SharesSplitParameters():
            return (), ()
        case ExpandingSplitParameters():
            first = split.first_train.after(start)
            windows = [
                Window(None, split.step.after(first, number), split.validation) for number in range(split.windows)
            ]
            return lay_windows(development, windows, split.on_overlap)
        case RollingSplitParameters():
            ends = [split.train.after(split.step.after(start, number)) for number in range(split.windows)]
            windows = [Window(split.train, train_last, split.validation) for train_last in ends]
            return lay_windows(development, windows, split.on_overlap)
        case TimeSeriesSplitParameters():
            return lay_series(development, split.n_splits, split.resolution_seconds), ()
        case CombinatorialSplitParameters():
            folds = lay_combinations(development, split.groups, split.test_groups, split.resolution_seconds)
            paths = count_paths(split.groups, split.test_groups)
            return folds, (f"the {len(folds)} folds make up {paths} paths over the train and validation blocks",)


def refuse_short_embargo(layout: SplitLayout, embargo_seconds: int, horizon_seconds: int, lookback: timedelta) -> None:
    """Refuse an embargo shorter than the horizon or the short look-back where training follows something held out.

    Raises:
        ValueError: Naming the least embargo.
    """
    least = max(timedelta(seconds=horizon_seconds), lookback)
    if timedelta(seconds=embargo_seconds) < least and layout.trains_after_held_out():
        raise ValueError(
            f"split.embargo_seconds ({embargo_seconds}) is shorter than max(horizon, short look-back) = "
            f"{least.total_seconds():.0f}, and there is training after a held-out block: lengthen it"
        )
