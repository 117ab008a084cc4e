"""Label kind `next_move`: the direction of the next move of the mid that reaches a threshold within the horizon."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.first_passage import ABOVE, INSIDE, first_passages
from trademl_assets.datasets.label_kinds import LABELS, EdgeUnit, LabelKind, Outcomes
from trademl_assets.datasets.labels import BPS, target_mids
from trademl_assets.foundation.parameters import Parameters

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]
ROUNDING = 1e-9
"""Share of a threshold by which differences of floating-point prices may fall short of it."""


class PriceThreshold(Parameters):
    """A move of at least `value` in units of the price, for example one tick."""

    kind: Literal["price"]
    value: float = Field(gt=0, allow_inf_nan=False)


class ReturnThreshold(Parameters):
    """A move of at least `value` basis points of the log price."""

    kind: Literal["return_bps"]
    value: float = Field(gt=0, allow_inf_nan=False)


class NextMoveParameters(Parameters):
    """Parameters of `next_move`.

    A decision whose mid does not move by `threshold` within the horizon is left out (`without_move: left_out`), or is
    of a class of its own between the other two (`own_class`). Successive steps of a path that are seen lie at most
    `max_path_gap_seconds` apart.
    """

    threshold: Annotated[PriceThreshold | ReturnThreshold, Field(discriminator="kind")]
    without_move: Literal["left_out", "own_class"]
    max_path_gap_seconds: int = Field(gt=0)


@dataclass(frozen=True)
class MoveOutcomes(Outcomes):
    """Outcomes beside the class of the move.

    Attributes:
        move: (n,) int8 position in the class names.
    """

    move: NDArray[np.int8]


@LABELS.register("next_move")
class NextMove(LabelKind):
    """Classes down, (unmoved,) up of the mid against the decision's; a label ends with its move."""

    parameters: ClassVar[type[Parameters]] = NextMoveParameters

    def __init__(self, parameters: NextMoveParameters) -> None:
        self._given = parameters

    @property
    def edge_unit(self) -> EdgeUnit:
        """The classes are not cut at edges."""
        return "none"

    def outcomes(self, ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Outcomes:
        """Follow each path to its first move."""
        mid, _ = target_mids(ingredients)
        now, threshold = mid[steps], self._given.threshold
        least = threshold.value * (1 - ROUNDING)
        if isinstance(threshold, PriceThreshold):
            above, below = now + least, now - least
        else:
            above, below = now * np.exp(least / BPS), now * np.exp(-least / BPS)
        passages = first_passages(
            ingredients,
            steps,
            above=above,
            below=below,
            horizon_seconds=horizon_seconds,
            max_path_gap_seconds=self._given.max_path_gap_seconds,
            by_mid=True,
        )
        unmoved = passages.went == INSIDE
        up = len(self.class_names(np.empty(0))) - 1
        move = np.where(passages.went == ABOVE, up, np.where(unmoved, up - 1, 0)).astype(np.int8)
        valid = passages.known & ~(unmoved & (self._given.without_move == "left_out"))
        return MoveOutcomes(np.where(valid, passages.return_bps, np.nan), passages.t1_us, valid, move)

    def class_names(self, boundaries: Floats) -> tuple[str, ...]:
        """The directions."""
        del boundaries
        return ("down", "up") if self._given.without_move == "left_out" else ("down", "unmoved", "up")

    def classify(self, outcomes: Outcomes, boundaries: Floats) -> NDArray[np.int8]:
        """The direction."""
        del boundaries
        assert isinstance(outcomes, MoveOutcomes)  # noqa: S101 -- outcomes of this kind
        return outcomes.move
