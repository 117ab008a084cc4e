"""What acting on probabilities came to: figures with intervals, by threshold and level of costs, as JSON values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trademl_assets.evaluation.daily_results import DailyResults

Positions = Literal["one_at_a_time", "overlapping"]


@dataclass(frozen=True)
class Figure:
    """A value with its stationary-block-bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class AfterCosts:
    """What is left of a round trip at one level of costs.

    Attributes:
        name: Of the level.
        cost_bps: Mean cost of a round trip.
        net_bps: Mean result of a round trip after it.
        hit_rate: Share of round trips with a result above 0.
        days: The results added up by day.
    """

    name: str
    cost_bps: float
    net_bps: Figure
    hit_rate: Figure
    days: DailyResults


@dataclass(frozen=True)
class Capacity:
    """Notional on the side that is taken, within `within_bps` of the mid, at the decisions that are acted on.

    Attributes:
        within_bps: Distance from the mid.
        typical: Geometric mean, in quote currency.
        lowest_decile: What was there at nine of ten.
    """

    within_bps: float
    typical: Figure
    lowest_decile: float


@dataclass(frozen=True)
class Threshold:
    """Acting on decisions whose expected return is at least `threshold_bps`.

    Attributes:
        share: Of the calibration decisions that exceed it.
        threshold_bps: Least expected return.
        trades: Round trips on the test part.
        judged: Whether they are enough.
        trades_a_day: Round trips a day of the test part.
        turnover_a_day: Notional bought and sold a day, in units of a position.
        gross_bps: Mean result of a round trip before costs: the cost at which it breaks even.
        break_even_spreads: The same in spreads; None where no spread is known.
        hit_rate: Share of round trips with a result above 0 before costs.
        after: At every level of costs.
        capacity: At every distance; empty where no book is known.
    """

    share: float
    threshold_bps: float
    trades: int
    judged: bool
    trades_a_day: float
    turnover_a_day: float
    gross_bps: Figure | None
    break_even_spreads: Figure | None
    hit_rate: Figure | None
    after: tuple[AfterCosts, ...]
    capacity: tuple[Capacity, ...]


@dataclass(frozen=True)
class Money:
    """What acting on a model's probabilities earns on the test part.

    Attributes:
        positions: How overlapping decisions are treated.
        class_means_bps: Mean return of every class in training, from which expected returns are made.
        mean_spread_bps: Over all test decisions; None where no spread is known.
        thresholds: In the order of `trade_shares`.
        confidence: Of all intervals.
        sentence: The first threshold in one line.
    """

    positions: Positions
    class_means_bps: tuple[float, ...]
    mean_spread_bps: float | None
    thresholds: tuple[Threshold, ...]
    confidence: float
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def numbers_of(money: Money) -> Mapping[str, float]:
    """Return what is worth watching over time: break-even cost and round trips at every threshold."""
    found: dict[str, float] = {}
    for each in money.thresholds:
        name = f"share_{each.share:g}"
        found[f"trades_a_day_{name}"] = each.trades_a_day
        if each.gross_bps is not None:
            found[f"break_even_bps_{name}"] = each.gross_bps.value
        if each.break_even_spreads is not None:
            found[f"break_even_spreads_{name}"] = each.break_even_spreads.value
    return found


def summarise_threshold(first: Threshold, confidence: float) -> str:
    """Say what acting at a threshold came to, in one line."""
    if first.gross_bps is None:
        return f"No test decision expects a return of {first.threshold_bps:.2f} bps: nothing would have been traded"
    spreads = "" if first.break_even_spreads is None else f" or {first.break_even_spreads.value:.2f} spreads"
    return (
        f"Acting where at least {first.threshold_bps:.2f} bps are expected: {first.trades} round trips, "
        f"{first.trades_a_day:.1f} a day, break even at {first.gross_bps.value:.2f} bps{spreads} a round trip "
        f"({confidence:.0%} interval {first.gross_bps.low:.2f} to {first.gross_bps.high:.2f} bps)"
        + ("" if first.judged else "; too few round trips to judge")
    )
