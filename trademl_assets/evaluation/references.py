"""The baselines on the judged decisions, each fitted on training rows alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.evaluation.control_learner import fit_logistic
from trademl_assets.scoring import metrics
from trademl_assets.scoring.baselines import (
    BaselineParameters,
    class_prior,
    fit_persistence,
    fit_scaled_return_prior,
    fit_volatility_prior,
    last_realised_class,
)

Floats = NDArray[np.float64]
VOLATILITY_REFERENCES = ("volatility prior", "scaled-return prior", "symmetric-return prior")
"""Forecasts that know the volatility alone: by bins, by scaling, and by scaling returns of both signs alike; skill
means to beat all. Few training days give the first two a direction of their own, which is noise, and a model that
merely has none would beat them."""


def baseline_losses(
    rows: pl.DataFrame,
    index: pl.DataFrame,
    labels: NDArray[np.int64],
    *,
    classes: int,
    boundaries_bps: Sequence[float] | Floats | None,
    parameters: BaselineParameters,
    more: Mapping[str, Floats] | None = None,
) -> dict[str, Floats]:
    """Log-losses (N,) of every baseline by name, `VOLATILITY_REFERENCES` first.

    Classes that are not cut by the return have no scaled returns; the class prior stands in their place.

    Args:
        rows: The judged decisions: t0, sigma_bps.
        index: Sample index with on_stride, part, t0, t1, label, return_bps, sigma_bps; fitted on its training rows.
        labels: (N,) classes that came true in `rows`.
        classes: Number of classes C.
        boundaries_bps: (C - 1,) class edges; None where the classes are not cut by the return.
        parameters: Bins and smoothing.
        more: Further baselines by name, as (N, C) probabilities in `rows`; None for none.
    """
    smoothing = parameters.pseudo_counts
    on_stride = index.filter("on_stride").sort("t0")
    train = on_stride.filter(pl.col("part") == "train")
    truth, sigma = train["label"].to_numpy().astype(np.int64), train["sigma_bps"].to_numpy()
    prior = class_prior(truth, classes, smoothing)
    realised = (on_stride["t1"].to_physical().to_numpy(), on_stride["label"].to_numpy())
    binned = fit_volatility_prior(sigma, truth, classes, parameters.volatility_bins, smoothing)
    last_of_train, last = (
        last_realised_class(frame["t0"].to_physical().to_numpy(), *realised) for frame in (train, rows)
    )
    asked = rows["sigma_bps"].to_numpy()
    forecasts = {"volatility prior": binned.predict(asked)}
    if boundaries_bps is not None:
        returns = train["return_bps"].to_numpy()
        scaled = fit_scaled_return_prior(sigma, returns, prior, boundaries_bps, smoothing)
        both = (np.tile(sigma, 2), np.append(returns, -returns))
        symmetric = fit_scaled_return_prior(*both, prior, boundaries_bps, smoothing)
        forecasts |= {
            "scaled-return prior": scaled.predict(asked),
            "symmetric-return prior": symmetric.predict(asked),
        }
    forecasts |= {
        "class prior": np.tile(prior, (len(labels), 1)),
        "persistence": fit_persistence(last_of_train, truth, classes, smoothing).predict(last),
        "random": np.full((len(labels), classes), 1 / classes),
    }
    known, seen = (summary_features(frame, on_stride) for frame in (train, rows))
    logistic = fit_logistic(known, truth, classes, parameters.logistic_penalty, smoothing)
    forecasts["logistic regression"] = logistic.predict(seen)
    forecasts |= more or {}
    return {name: metrics.log_losses(forecast, labels) for name, forecast in forecasts.items()}


def summary_features(rows: pl.DataFrame, on_stride: pl.DataFrame) -> Floats:
    """(N, 6) what is known without a stream: volatility, the last return that was complete, the hour.

    Log trailing sigma, the last realised return over sigma, its size, whether both are known, hour of day as a circle.

    Args:
        rows: Decisions: t0, sigma_bps.
        on_stride: All labelled decisions, sorted by t0: t1, return_bps.
    """
    ends = on_stride["t1"].to_physical().to_numpy()
    order = np.argsort(ends, kind="stable")
    place = np.searchsorted(ends[order], rows["t0"].to_physical().to_numpy(), side="right") - 1
    returns = on_stride["return_bps"].to_numpy().astype(np.float64)[order][np.maximum(place, 0)]
    sigma = rows["sigma_bps"].to_numpy().astype(np.float64)
    known = (place >= 0) & (sigma > 0) & np.isfinite(returns)
    safe = np.where(known, sigma, 1.0)
    scaled = np.where(known, returns / safe, 0.0)
    angle = 2 * np.pi * (rows["t0"].dt.hour().to_numpy() + rows["t0"].dt.minute().to_numpy() / 60) / 24
    columns = [np.log(safe), scaled, np.abs(scaled), known.astype(np.float64), np.sin(angle), np.cos(angle)]
    return np.column_stack(columns)
