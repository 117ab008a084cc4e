"""The typed parameters of a split, a class a kind, shaped as they stand in YAML. None has a default."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, SerializeAsAny, ValidationInfo, model_validator

from trademl_assets.datasets.calendar_length import CalendarLength, PositiveLength
from trademl_assets.foundation.choice import validate_parameters
from trademl_assets.foundation.parameters import Parameters

Part = Literal["train", "validation", "calibration", "test", "degradation"]
PARTS: tuple[Part, ...] = ("train", "validation", "calibration", "test")
BlockName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,40}$")]
Overlap = Literal["refuse", "shift"]


class BlockParameters(Parameters):
    """One block of the split: which part it is and how long it lasts (ISO-8601, calendar months allowed)."""

    part: Literal["train", "validation", "calibration", "test"]
    length: PositiveLength


class DegradationBlockParameters(Parameters):
    """A block on which ageing is measured, excluded from everything else; it has a name."""

    part: Literal["degradation"]
    name: BlockName
    length: PositiveLength


class DegradationParameters(Parameters):
    """A degradation block that takes its time away from training: `after` counts from the dataset's start."""

    name: BlockName
    after: CalendarLength
    length: PositiveLength


class ShareParameters(Parameters):
    """One block of the split as a share of the whole span."""

    part: Literal["train", "validation", "calibration", "test"]
    share: float = Field(gt=0, le=1)


def _chosen_by(key: str, classes: Mapping[str, type[Parameters]], value: Any, info: ValidationInfo) -> Any:
    """Validate `value` as the class that its `key` names, so that mistakes keep their exact places."""
    if isinstance(value, tuple(classes.values())):
        return value
    named = value.get(key) if isinstance(value, dict) else None
    if not isinstance(named, str) or named not in classes:
        raise ValueError(f"needs {key}: one of {', '.join(classes)}; found {named!r}")
    return validate_parameters(classes[named], value, info)


def _read_block(value: Any, info: ValidationInfo) -> "BlockParameters | DegradationBlockParameters":
    classes = dict.fromkeys(PARTS, BlockParameters) | {"degradation": DegradationBlockParameters}
    return _chosen_by("part", classes, value, info)  # type: ignore[no-any-return]  # one of the two classes


StatedBlock = Annotated[SerializeAsAny[BlockParameters | DegradationBlockParameters], PlainValidator(_read_block)]


class CommonSplitParameters(Parameters):
    """What all kinds of split have.

    After a held-out block no training sample starts within `embargo_seconds`. `degradation` blocks are cut out of
    training. Of every part named in `minimum_effective_samples` there must be that many independent labels (covered
    time / label length; of each degradation block by itself): fewer are a warning, or the dataset is refused.
    """

    embargo_seconds: int = Field(ge=0)
    degradation: tuple[DegradationParameters, ...]
    minimum_effective_samples: dict[Part, int]
    on_short_part: Literal["warn", "refuse"]

    @model_validator(mode="after")
    def _minima_are_counts(self) -> Self:
        if any(least < 0 for least in self.minimum_effective_samples.values()):
            raise ValueError(f"minimum_effective_samples must not be negative: {self.minimum_effective_samples}")
        return self

    @property
    def calibrates_out_of_fold(self) -> bool:
        """Whether out-of-fold predictions stand in for a calibration part that falls short."""
        return False

    def degradation_names(self) -> tuple[str, ...]:
        """Names of all degradation blocks, in the order they are written."""
        return tuple(block.name for block in self.degradation)

    def _refuse_repeated_names(self) -> None:
        names = self.degradation_names()
        if len(set(names)) != len(names):
            raise ValueError(f"degradation blocks need different names, found {list(names)}")


class StatedBlocksParameters(CommonSplitParameters):
    """What kinds with stated blocks have: the blocks in time order, back to back from the dataset's start."""

    blocks: tuple[StatedBlock, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _blocks_are_sound(self) -> Self:
        _refuse_unsound([block.part for block in self.blocks])
        self._refuse_repeated_names()
        return self

    def degradation_names(self) -> tuple[str, ...]:
        """Names of all degradation blocks, in the order they are written."""
        listed = tuple(block.name for block in self.blocks if isinstance(block, DegradationBlockParameters))
        return listed + super().degradation_names()


class FoldedSplitParameters(StatedBlocksParameters):
    """What kinds with folds have: folds lie in the time of the train and validation blocks, and in no other.

    `calibration_from: out_of_fold` lets the folds' out-of-fold predictions stand in for a calibration part with fewer
    independent labels than `minimum_effective_samples` asks for.
    """

    calibration_from: Literal["block", "out_of_fold"]

    @property
    def calibrates_out_of_fold(self) -> bool:
        """Whether out-of-fold predictions stand in for a calibration part that falls short."""
        return self.calibration_from == "out_of_fold"

    @model_validator(mode="after")
    def _shortage_is_defined(self) -> Self:
        if self.calibrates_out_of_fold and not self.minimum_effective_samples.get("calibration"):
            raise ValueError(
                "calibration_from: out_of_fold needs minimum_effective_samples.calibration, which says when the "
                "calibration part falls short"
            )
        return self


class BlocksSplitParameters(StatedBlocksParameters):
    """Blocks of stated lengths, without folds."""

    kind: Literal["blocks"]


class SharesSplitParameters(CommonSplitParameters):
    """Blocks in time order by their share of a span that begins at the dataset's start.

    The span lasts `length` (null: up to the end of the last day). Every block but the last lasts a whole multiple of
    `resolution_seconds`, rounded down; the last has the rest.
    """

    kind: Literal["shares"]
    length: PositiveLength | None
    resolution_seconds: int = Field(gt=0)
    shares: tuple[ShareParameters, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _shares_are_sound(self) -> Self:
        _refuse_unsound([each.part for each in self.shares])
        self._refuse_repeated_names()
        total = sum(exact_share(each) for each in self.shares)
        if total != 1:
            raise ValueError(f"shares must add up to 1, they add up to {float(total)}")
        return self


class ExpandingSplitParameters(FoldedSplitParameters):
    """Folds whose training begins at the dataset's start and grows.

    Fold i validates on `validation` from start + `first_train` + i * `step` on, and trains on everything before it. A
    validation window on a degradation block is refused, or moved back to the latest free place before it.
    """

    kind: Literal["expanding"]
    first_train: PositiveLength
    validation: PositiveLength
    step: PositiveLength
    windows: int = Field(ge=1)
    on_overlap: Overlap


class RollingSplitParameters(FoldedSplitParameters):
    """Folds whose training always lasts `train`; otherwise as `expanding`.

    Fold i trains on `train` from start + i * `step` on, and validates on `validation` right after it.
    """

    kind: Literal["rolling"]
    train: PositiveLength
    validation: PositiveLength
    step: PositiveLength
    windows: int = Field(ge=1)
    on_overlap: Overlap


class TimeSeriesSplitParameters(FoldedSplitParameters):
    """Folds like scikit-learn's TimeSeriesSplit on the time of the train and validation blocks.

    That time, in units of `resolution_seconds`, is n long; the last `n_splits` pieces of n // (n_splits + 1) units are
    validated on in turn, each after training on everything before it.
    """

    kind: Literal["time_series"]
    n_splits: int = Field(ge=2)
    resolution_seconds: int = Field(gt=0)


class CombinatorialSplitParameters(FoldedSplitParameters):
    """Combinatorial purged cross-validation (Lopez de Prado, Advances in Financial Machine Learning, chapter 12).

    The time of the train and validation blocks, in units of `resolution_seconds`, is n long; it is cut into `groups`
    of n // groups units, the last with the rest. Every choice of `test_groups` of them is a fold's validation.
    """

    kind: Literal["combinatorial_purged"]
    groups: int = Field(ge=2)
    test_groups: int = Field(ge=1)
    resolution_seconds: int = Field(gt=0)

    @model_validator(mode="after")
    def _training_is_left(self) -> Self:
        if self.test_groups >= self.groups:
            raise ValueError(f"test_groups ({self.test_groups}) must be fewer than groups ({self.groups})")
        return self


KINDS: Mapping[str, type[CommonSplitParameters]] = {
    "blocks": BlocksSplitParameters,
    "shares": SharesSplitParameters,
    "expanding": ExpandingSplitParameters,
    "rolling": RollingSplitParameters,
    "time_series": TimeSeriesSplitParameters,
    "combinatorial_purged": CombinatorialSplitParameters,
}
Split = (
    BlocksSplitParameters
    | SharesSplitParameters
    | ExpandingSplitParameters
    | RollingSplitParameters
    | TimeSeriesSplitParameters
    | CombinatorialSplitParameters
)


def read_split(value: Any, info: ValidationInfo) -> Split:
    """Validate a split as the class that its `kind` names."""
    return _chosen_by("kind", KINDS, value, info)  # type: ignore[no-any-return]  # one of the kinds


SplitParameters = Annotated[SerializeAsAny[Split], PlainValidator(read_split)]


def exact_share(stated: ShareParameters) -> Fraction:
    """The share as the decimal number that was written, so that 0.7 and 0.15 and 0.15 are exactly one."""
    return Fraction(str(stated.share))


def _refuse_unsound(parts: Sequence[str]) -> None:
    if "train" not in parts:
        raise ValueError("blocks need at least one with part: train")
    if any(left == right != "degradation" for left, right in pairwise(parts)):
        raise ValueError(f"neighbouring blocks of the same part must be written as one, found {list(parts)}")
    if parts.count("calibration") > 1:
        raise ValueError("the calibration block is contiguous: write it once")
