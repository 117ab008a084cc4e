"""Every score of the test part, regime by regime: where a model is good, and where it only seems so on the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.scoring import metrics
from trademl_assets.scoring.predictions import class_columns, independent_labels

Floats = NDArray[np.float64]
SHOWN_SCORES = ("log_loss", "brier", "accuracy", "weighted_f1", "ece")


@dataclass(frozen=True)
class RegimeScores:
    """Scores in one regime.

    Attributes:
        regime: Its name; `unknown` where none was told.
        samples: Decisions.
        effective_samples: Independent labels among them.
        gain: Mean log-loss of the reference minus that of the model, nats a decision.
        scores: Metrics after calibration.
    """

    regime: str
    samples: int
    effective_samples: float
    gain: float
    scores: Mapping[str, float]


def score_regimes(
    rows: pl.DataFrame, gains: Floats, boundaries_bps: Sequence[float] | Floats | None
) -> tuple[RegimeScores, ...]:
    """Score the judged decisions in each regime, by name.

    Args:
        rows: The decisions in time order: t0, t1, label, regime, after_0, after_1, …
        gains: (N,) log-loss of the reference minus that of the model.
        boundaries_bps: (C - 1,) class edges; None where the classes are not cut by the return.
    """
    named = rows.with_columns(regime=pl.col("regime").cast(pl.String).fill_null("unknown"), gain=pl.Series(gains))
    found = []
    for name in named["regime"].unique().sort():
        here = named.filter(regime=name)
        scores = metrics.evaluate(class_columns(here, "after"), here["label"].to_numpy(), boundaries_bps=boundaries_bps)
        mean = float(here["gain"].to_numpy().mean())
        found.append(RegimeScores(str(name), here.height, independent_labels(here), mean, scores))
    return tuple(found)


def regime_rows(regimes: Sequence[RegimeScores]) -> list[dict[str, str | float]]:
    """Rows of a table: regime, decisions, independent labels, gain and the scores that are shown, rounded."""
    return [
        {
            "regime": each.regime,
            "decisions": each.samples,
            "independent labels": round(each.effective_samples),
            "gain": round(each.gain, 4),
            **{name: round(each.scores[name], 4) for name in SHOWN_SCORES},
        }
        for each in regimes
    ]
