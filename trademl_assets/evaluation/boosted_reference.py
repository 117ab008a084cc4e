"""Gradient boosting on summaries of windows: the reference that a network has to beat to be worth its trouble."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.scaling import evenly_spaced
from trademl_assets.datasets.window_summaries import SummaryParameters, summarise_windows
from trademl_assets.datasets.windows import Dataset
from trademl_assets.evaluation.judge import EvaluationParameters
from trademl_assets.evaluation.kept_reference import kept_forecasts
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.baselines import BaselineParameters, class_prior
from trademl_assets.scoring.boosting import fit_boosting
from trademl_assets.scoring.calibration import CalibrationParameters
from trademl_assets.scoring.predictions import calibrate_predictions, class_columns

Floats = NDArray[np.float64]
BOOSTING = "gradient boosting"
ASKED_PARTS = ("calibration", "test")


@dataclass(frozen=True)
class Summaries:
    """Decisions and what their windows show in a few numbers.

    Attributes:
        samples: (n,) their numbers in the index.
        features: (n, k).
    """

    samples: NDArray[np.int64]
    features: NDArray[np.float32]

    def with_more(self, more: "Summaries") -> "Summaries":
        """Return both together."""
        return Summaries(np.append(self.samples, more.samples), np.concatenate([self.features, more.features]))


def summarise(dataset: Dataset, rows: pl.DataFrame, parameters: SummaryParameters) -> Summaries:
    """Sum up the windows of rows of a dataset's index: sample, step, instrument."""
    return Summaries(rows["sample"].to_numpy().astype(np.int64), summarise_windows(dataset, rows, parameters))


def boosted_baseline(
    dataset: Dataset,
    index: pl.DataFrame,
    predictions: pl.DataFrame,
    parameters: EvaluationParameters,
    *,
    period: Summaries | None = None,
) -> dict[str, Floats]:
    """Return the baseline by its name, for `judge_model`; nothing where the configuration has none.

    Without a period it is fitted once for all models of a dataset that are asked for the same decisions.

    Args:
        dataset: The opened dataset that the model was trained on.
        index: Its sample index over the primary horizon.
        predictions: Table of `calibrate_predictions`, whose calibration and test decisions are asked for.
        parameters: Of the trees and of the calibration.
        period: Of the test decisions, where they are of another dataset; None where they are of this one.
    """
    boosting = parameters.baselines.boosting
    if boosting is None:
        return {}
    train = index.filter(pl.col("part") == "train").drop_nulls("label").sort("t0", "sample")
    train = train[evenly_spaced(np.arange(train.height), boosting.rows_at_most)]
    parts = ASKED_PARTS if period is None else ASKED_PARTS[:1]
    asked = predictions.filter(pl.col("part").is_in(parts)).select("sample")
    rows = index.join(asked, on="sample", how="semi").sort("t0", "sample")

    def forecast() -> pl.DataFrame:
        own = summarise(dataset, rows, boosting.summaries)
        return boosted_logits(
            summarise(dataset, train, boosting.summaries),
            own if period is None else own.with_more(period),
            index,
            classes=dataset.classes,
            baselines=parameters.baselines,
            seed=parameters.seed,
        )

    stated = f"{boosting.fingerprint()} {parameters.baselines.pseudo_counts} {parameters.seed}"
    logits = kept_forecasts(dataset, train, rows, stated, forecast) if period is None else forecast()
    return {BOOSTING: calibrated_forecast(logits, index, parameters.calibration)}


def boosted_logits(
    known: Summaries,
    asked: Summaries,
    index: pl.DataFrame,
    *,
    classes: int,
    baselines: BaselineParameters,
    seed: int,
) -> pl.DataFrame:
    """Fit on training rows and forecast, as the only member of an ensemble: sample, member, logit_0..logit_{C-1}.

    Args:
        known: Training rows in time order.
        asked: Rows of the parts `calibration` and `test`.
        index: Sample index with both: sample, t0, t1, label.
        classes: C.
        baselines: Of the trees and the smoothing.
        seed: Of the features that splits choose from.

    Raises:
        EvaluationError: The configuration has no trees, or there is nothing to fit on.
    """
    if baselines.boosting is None:
        raise EvaluationError("baselines.boosting is null -> give its parameters")
    chosen = pl.DataFrame({"sample": known.samples}).join(index, on="sample", how="left", maintain_order="left")
    labels = chosen["label"].to_numpy().astype(np.int64)
    trees = fit_boosting(
        known.features,
        labels,
        (chosen["t0"].to_physical().to_numpy(), chosen["t1"].to_physical().to_numpy()),
        class_prior(labels, classes, baselines.pseudo_counts),
        baselines.boosting,
        pseudo_counts=baselines.pseudo_counts,
        seed=seed,
    )
    logits = {f"logit_{number}": column for number, column in enumerate(np.log(trees.predict(asked.features)).T)}
    return pl.DataFrame({"sample": asked.samples, "member": np.zeros(len(asked.samples), np.int32), **logits})


def calibrated_forecast(logits: pl.DataFrame, index: pl.DataFrame, calibration: CalibrationParameters) -> Floats:
    """(N, C) probabilities at the test decisions, in their order, calibrated as a model's are.

    Args:
        logits: What `boosted_logits` returns.
        index: Sample index: sample, t0, t1, part, label, return_bps, sigma_bps, regime.
        calibration: As for a model.

    Raises:
        EvaluationError: There is nothing to calibrate on.
    """
    table = calibrate_predictions(logits, index, calibration).table
    return class_columns(table.filter(pl.col("part") == "test"), "after")
