"""From the members' logits to the calibrated probabilities of every held-out decision, as one table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.splits import effective_samples
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.calibration import Calibration, CalibrationParameters, calibrate
from trademl_assets.scoring.temperature import apply_temperature, ensemble_logits

Floats = NDArray[np.float64]
KEPT = ("sample", "t0", "t1", "part", "label", "return_bps", "sigma_bps", "regime")


@dataclass(frozen=True)
class CalibratedPredictions:
    """Probabilities before and after calibration.

    Attributes:
        table: One row a decision of the held-out parts, sorted by t0: sample, t0, t1, part, label, return_bps,
            sigma_bps, regime, before_0..before_{C-1} (mean probability of the members), after_0..after_{C-1}.
        calibration: What was fitted on the calibration block.
    """

    table: pl.DataFrame
    calibration: Calibration


def calibrate_predictions(
    predictions: pl.DataFrame,
    index: pl.DataFrame,
    parameters: CalibrationParameters,
    class_weights: Sequence[float] | None = None,
) -> CalibratedPredictions:
    """Average the members, fit the calibration on the calibration block alone, apply it everywhere.

    Args:
        predictions: sample, member, logit_0..logit_{C-1}; every member has the same samples.
        index: Sample index of the dataset (sample, t0, t1, part, label, return_bps, sigma_bps, regime).
        parameters: Limits of calibration.
        class_weights: (C,) weights of the training loss, undone by the calibration; None for none.

    Raises:
        EvaluationError: Members disagree on their samples, a sample is not in the index, or no calibration sample.
    """
    logits, samples = member_mean(predictions)
    rows = pl.DataFrame({"sample": samples, "row": np.arange(len(samples))}).join(
        index.select(KEPT), on="sample", how="left", maintain_order="left"
    )
    if rows["t0"].null_count():
        lost = rows.filter(pl.col("t0").is_null())["sample"][0]
        raise EvaluationError(f"sample {lost} was predicted but is not in the dataset's index -> train on this dataset")
    rows = rows.sort("t0", "sample")
    logits = logits[rows["row"].to_numpy()]
    chosen = (rows["part"] == "calibration").to_numpy()
    if not chosen.any():
        raise EvaluationError("no predictions for the calibration part -> predict the calibration block, too")
    block = rows.filter(pl.col("part") == "calibration")
    regimes = rows["regime"].cast(pl.String).fill_null("unknown").to_list()
    calibration = calibrate(
        logits[chosen],
        block["label"].to_numpy(),
        independent_labels(block),
        parameters,
        regimes=[regime for regime, kept in zip(regimes, chosen, strict=True) if kept],
        spans_us=(block["t0"].to_physical().to_numpy(), block["t1"].to_physical().to_numpy()),
        class_weights=class_weights,
    )
    columns = {
        f"{name}_{number}": column
        for name, values in (("before", apply_temperature(logits, 1.0)), ("after", calibration.apply(logits, regimes)))
        for number, column in enumerate(values.T)
    }
    return CalibratedPredictions(rows.drop("row").with_columns(**columns), calibration)


def independent_labels(rows: pl.DataFrame) -> float:
    """Independent labels of rows sorted by t0: covered span over horizon."""
    return effective_samples(rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy())


def class_columns(table: pl.DataFrame, name: str) -> Floats:
    """(N, C) of the columns `name`_0, `name`_1, … in the order of their numbers."""
    classes = sum(column.rpartition("_")[0] == name for column in table.columns)
    return np.asarray(table.select(f"{name}_{number}" for number in range(classes)).to_numpy(), dtype=np.float64)


def member_mean(predictions: pl.DataFrame) -> tuple[Floats, NDArray[np.int64]]:
    """Return (N, C) logits of the mean probability of the members, and the (N,) samples they are for, ascending.

    Args:
        predictions: sample, member, logit_0..logit_{C-1}; every member has the same samples.

    Raises:
        EvaluationError: There are none, or members disagree on their samples.
    """
    members = predictions.sort("member", "sample").partition_by("member", maintain_order=True)
    if not members:
        raise EvaluationError("there are no predictions to calibrate -> materialise the trained model again")
    samples = members[0]["sample"]
    for member in members[1:]:
        if not member["sample"].equals(samples):
            number = member["member"][0]
            raise EvaluationError(f"member {number} predicted other samples than the first -> train all members alike")
    stacked = np.stack([class_columns(member, "logit") for member in members])
    return ensemble_logits(stacked), samples.to_numpy()
