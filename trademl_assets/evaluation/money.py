"""What acting on the probabilities would earn before there is a portfolio: break-even cost, turnover, hits, capacity.

A decision whose expected return exceeds a threshold opens a position of one unit in its direction, which is closed when
its label ends. Nothing is netted and nothing is reinvested; spread and depth are those at the decision.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.evaluation.daily_results import judge_days
from trademl_assets.evaluation.money_results import (
    AfterCosts,
    Capacity,
    Figure,
    Money,
    Positions,
    Threshold,
    summarise_threshold,
)
from trademl_assets.evaluation.resampling import Resampling
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.scoring.predictions import class_columns

Floats = NDArray[np.float64]
BID, ASK = 0, 1


class CostParameters(Parameters):
    """What a round trip costs: so many spreads, and a fee in bps of the notional for both sides together."""

    name: str = Field(min_length=1, max_length=60)
    spreads: float = Field(ge=0)
    fee_bps: float = Field(ge=0)


class MoneyParameters(Parameters):
    """How probabilities are acted on.

    `positions`: with `one_at_a_time` decisions are passed over while a position is open; with `overlapping` each is a
    position of its own. A threshold is the expected return that the share `trade_shares` of the calibration decisions
    exceeds, nothing for a share of 1. Figures from fewer than `minimum_trades` round trips are shown and not judged.
    Capacity is the notional within each of `capacity_bps` of the mid.
    """

    positions: Positions
    trade_shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(min_length=1)
    costs: tuple[CostParameters, ...]
    capacity_bps: tuple[Annotated[float, Field(gt=0)], ...]
    minimum_trades: int = Field(ge=1)


@dataclass(frozen=True)
class Book:
    """What the book showed at n decisions.

    Attributes:
        spread_bps: (n,).
        notional: (n, 2, K) notional of bid and ask side within each of `capacity_bps` of the mid; K may be 0.
    """

    spread_bps: Floats
    notional: Floats


def fit_class_means(index: pl.DataFrame, classes: int) -> Floats:
    """(C,) mean return (bps) of the training rows of each class; of a class without any that of its neighbours."""
    train = index.filter((pl.col("part") == "train") & pl.col("on_stride"))
    labels = train["label"].to_numpy().astype(np.int64)
    count = np.bincount(labels, minlength=classes)
    total = np.bincount(labels, weights=train["return_bps"].to_numpy(), minlength=classes)
    seen = np.flatnonzero(count)
    if not len(seen):
        raise EvaluationError(
            "expected returns need training rows with classes, found none -> widen the training blocks"
        )
    return np.asarray(np.interp(np.arange(classes), seen, total[seen] / count[seen]))


def judge_money(
    predictions: pl.DataFrame,
    index: pl.DataFrame,
    book: Book | None,
    parameters: MoneyParameters,
    resampling: Resampling,
) -> Money:
    """Act on the test part of calibrated predictions.

    Args:
        predictions: Table of `calibrate_predictions`: t0, t1, part, return_bps, after_*.
        index: Sample index of the dataset's primary horizon; means of classes are fitted on its training rows.
        book: At the test decisions in the order of t0 and sample; None where there is none.
        parameters: Thresholds, costs, distances.
        resampling: Of the intervals.

    Raises:
        EvaluationError: There is no test or calibration part, or the book is of other decisions.
    """
    rows = {part: predictions.filter(pl.col("part") == part).sort("t0", "sample") for part in ("calibration", "test")}
    for part, found in rows.items():
        if found.is_empty():
            raise EvaluationError(f"no predictions for the {part} part -> predict its block, too")
    test = rows["test"]
    if book is not None and len(book.spread_bps) != test.height:
        raise EvaluationError(f"a book at {len(book.spread_bps)} decisions for {test.height} test decisions")
    means = fit_class_means(index, sum(name.startswith("after_") for name in test.columns))
    expected = {part: class_columns(found, "after") @ means for part, found in rows.items()}
    act = _Acting(test, expected["test"], book, parameters, resampling)
    sizes = np.abs(expected["calibration"])
    thresholds = [float(np.quantile(sizes, 1 - share)) if share < 1 else 0.0 for share in parameters.trade_shares]
    judged = tuple(
        act.judge(share, threshold) for share, threshold in zip(parameters.trade_shares, thresholds, strict=True)
    )
    spread = act.mean_spread
    return Money(
        positions=parameters.positions,
        class_means_bps=tuple(means.tolist()),
        mean_spread_bps=spread,
        thresholds=judged,
        confidence=resampling.confidence,
        sentence=summarise_threshold(judged[0], resampling.confidence),
    )


def choose_trades(
    wanted: NDArray[np.bool_], spans_us: tuple[NDArray[np.int64], NDArray[np.int64]], positions: Positions
) -> NDArray[np.bool_]:
    """Return (n,) which of the wanted decisions, in time order, are acted on: one at a time, or all."""
    if positions == "overlapping":
        return wanted
    chosen, free_from = np.zeros(len(wanted), dtype=np.bool_), np.iinfo(np.int64).min
    begins, ends = spans_us
    for row in np.flatnonzero(wanted):
        if begins[row] >= free_from:
            chosen[row], free_from = True, ends[row]
    return chosen


class _Acting:
    """Acts on the test decisions at one threshold after another."""

    def __init__(
        self,
        rows: pl.DataFrame,
        expected: Floats,
        book: Book | None,
        parameters: MoneyParameters,
        resampling: Resampling,
    ) -> None:
        self._expected, self._book, self._parameters, self._resampling = expected, book, parameters, resampling
        self._spans = (rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy())
        self._result = np.sign(expected) * rows["return_bps"].to_numpy()
        self._days = rows["t0"].dt.date().to_numpy()
        self._has_spread = book is not None and bool((book.spread_bps > 0).any())

    @property
    def mean_spread(self) -> float | None:
        return float(self._book.spread_bps.mean()) if self._book is not None and self._has_spread else None

    def judge(self, share: float, threshold_bps: float) -> Threshold:
        wanted = (np.abs(self._expected) >= threshold_bps) & (self._expected != 0)
        acted = choose_trades(wanted, self._spans, self._parameters.positions)
        trades, days = int(acted.sum()), len(np.unique(self._days))
        gross = self._ratio(acted, self._result)
        known = trades and self._book is not None and self._has_spread
        return Threshold(
            share=share,
            threshold_bps=threshold_bps,
            trades=trades,
            judged=trades >= self._parameters.minimum_trades,
            trades_a_day=trades / days,
            turnover_a_day=2 * trades / days,
            gross_bps=gross,
            break_even_spreads=self._ratio(acted, self._result, self._book.spread_bps)
            if known and self._book
            else None,
            hit_rate=self._ratio(acted, (self._result > 0).astype(np.float64)),
            after=tuple(self._after(acted, cost) for cost in self._parameters.costs) if trades else (),
            capacity=tuple(self._capacity(acted)) if trades else (),
        )

    def _after(self, acted: NDArray[np.bool_], cost: CostParameters) -> AfterCosts:
        spread = self._book.spread_bps if self._book is not None else np.zeros(len(acted))
        paid = cost.spreads * spread + cost.fee_bps
        net = self._result - paid
        left, hits = (self._ratio(acted, values) for values in (net, (net > 0).astype(np.float64)))
        assert left is not None and hits is not None  # noqa: S101, PT018 -- the caller has counted trades
        days = judge_days(self._days, np.where(acted, net, 0.0))
        return AfterCosts(cost.name, float(paid[acted].mean()), left, hits, days)

    def _capacity(self, acted: NDArray[np.bool_]) -> Sequence[Capacity]:
        if self._book is None or not self._book.notional.shape[2]:
            return []
        side = np.where(self._expected > 0, ASK, BID)
        taken = self._book.notional[np.arange(len(side)), side]
        found = []
        for within, notional in zip(self._parameters.capacity_bps, taken.T, strict=True):
            there = acted & (notional > 0)
            logarithm = self._ratio(there, np.log(np.where(notional > 0, notional, 1.0)))
            typical = Figure(0.0, 0.0, 0.0)
            if logarithm is not None:
                typical = Figure(*(float(np.exp(each)) for each in asdict(logarithm).values()))
            found.append(Capacity(within, typical, float(np.quantile(notional[acted], 0.1))))
        return found

    def _ratio(self, chosen: NDArray[np.bool_], values: Floats, by: Floats | None = None) -> Figure | None:
        """Sum of values over the chosen decisions, by their number or by the sum of `by`."""
        over = chosen.astype(np.float64) if by is None else np.where(chosen, by, 0.0)
        columns = np.stack([np.where(chosen, values, 0.0), over], axis=1)
        total = columns.sum(axis=0)
        if total[1] <= 0:
            return None
        drawn = self._resampling.means(columns, self._spans)
        with np.errstate(divide="ignore", invalid="ignore"):  # a replicate may have drawn no trade at all
            low, high = self._resampling.interval(drawn[:, 0] / drawn[:, 1])
        return Figure(float(total[0] / total[1]), low, high)
