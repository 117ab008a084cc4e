"""Label kind `triple_barrier`: which is met first, a target, a stop or the horizon's end.

Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 3.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.first_passage import ABOVE, BELOW, BOTH, first_passages
from trademl_assets.datasets.label_kinds import LABELS, EdgeUnit, LabelKind, Outcomes
from trademl_assets.datasets.labels import BPS, horizon_sigma, target_mids
from trademl_assets.datasets.trailing_range import average_true_range
from trademl_assets.foundation.parameters import Parameters

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

Floats = NDArray[np.float64]
Multiple = Annotated[float, Field(gt=0, allow_inf_nan=False)]
STOP, TIMEOUT, TARGET = 0, 1, 2


class SigmaBarriers(Parameters):
    """Barriers in multiples of the trailing short sigma over the horizon."""

    kind: Literal["sigma"]


class RangeBarriers(Parameters):
    """Barriers in multiples of the average true range of the last `bars` bars of `bar_seconds`."""

    kind: Literal["average_true_range"]
    bar_seconds: int = Field(gt=0)
    bars: int = Field(ge=1)


class TripleBarrierParameters(Parameters):
    """Parameters of `triple_barrier`.

    `target` and `stop` are how far, in units of `barriers`, the log price goes in favour of and against a position of
    `side` that is opened at the decision's mid. Successive steps of a path that are seen lie at most
    `max_path_gap_seconds` apart.
    """

    side: Literal["long", "short"]
    barriers: Annotated[SigmaBarriers | RangeBarriers, Field(discriminator="kind")]
    target: Multiple
    stop: Multiple
    max_path_gap_seconds: int = Field(gt=0)


@dataclass(frozen=True)
class BarrierOutcomes(Outcomes):
    """Outcomes beside what was met first.

    Attributes:
        met: (n,) int8 STOP, TIMEOUT or TARGET.
    """

    met: NDArray[np.int8]


@LABELS.register("triple_barrier")
class TripleBarrier(LabelKind):
    """Classes stop, timeout, target; a label ends at the touch, and a tie within one step is a stop.

    Of candles, the highs and lows of later bars touch barriers; the return is that of the close of the bar that did. A
    label that is decided before the horizon is kept where later steps are not seen.
    """

    parameters: ClassVar[type[Parameters]] = TripleBarrierParameters

    def __init__(self, parameters: TripleBarrierParameters) -> None:
        self._given = parameters

    @property
    def edge_unit(self) -> EdgeUnit:
        """The classes are not cut at edges."""
        return "none"

    def outcomes(self, ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Outcomes:
        """Follow each path to its first touch."""
        given, (mid, _) = self._given, target_mids(ingredients)
        unit = self._unit_bps(ingredients, steps, horizon_seconds)
        rise, fall = (given.target, given.stop) if given.side == "long" else (given.stop, given.target)
        passages = first_passages(
            ingredients,
            steps,
            above=mid[steps] * np.exp(rise * unit / BPS),
            below=mid[steps] * np.exp(-fall * unit / BPS),
            horizon_seconds=horizon_seconds,
            max_path_gap_seconds=given.max_path_gap_seconds,
            by_mid=False,
        )
        won, lost = (ABOVE, BELOW) if given.side == "long" else (BELOW, ABOVE)
        met = np.full(len(steps), TIMEOUT, np.int8)
        met[passages.went == won] = TARGET
        met[(passages.went == lost) | (passages.went == BOTH)] = STOP
        valid = passages.known & np.isfinite(unit)
        return BarrierOutcomes(np.where(valid, passages.return_bps, np.nan), passages.t1_us, valid, met)

    def class_names(self, boundaries: Floats) -> tuple[str, ...]:
        """What may be met first."""
        del boundaries
        return ("stop", "timeout", "target")

    def classify(self, outcomes: Outcomes, boundaries: Floats) -> NDArray[np.int8]:
        """What was met first."""
        del boundaries
        assert isinstance(outcomes, BarrierOutcomes)  # noqa: S101 -- outcomes of this kind
        return outcomes.met

    def _unit_bps(self, ingredients: "Ingredients", steps: NDArray[np.int64], horizon_seconds: int) -> Floats:
        barriers = self._given.barriers
        if isinstance(barriers, SigmaBarriers):
            return horizon_sigma(ingredients, steps, horizon_seconds)
        return average_true_range(ingredients, barriers.bar_seconds, barriers.bars)[steps]
