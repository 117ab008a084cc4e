"""How honest calibrated probabilities are on the test part: cells of the gate, and sets that promise coverage."""

import numpy as np
import polars as pl

from trademl_assets.scoring.calibration_gate import CalibrationCell, GateParameters, judge_calibration
from trademl_assets.scoring.conformal import ConformalParameters, SetQuality, adaptive_sets, judge_sets, split_sets
from trademl_assets.scoring.predictions import class_columns

CALIBRATED_ON, JUDGED = "calibration", "test"


def judge_cells(rows: pl.DataFrame, parameters: GateParameters, seed: int) -> tuple[CalibrationCell, ...]:
    """Judge every class in every regime.

    Args:
        rows: The judged decisions in time order: t0, t1, label, regime, after_0, after_1, …
        parameters: Limits of the gate.
        seed: Of the draws.
    """
    return judge_calibration(
        class_columns(rows, "after"),
        rows["label"].to_numpy().astype(np.int64),
        (rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy()),
        rows["regime"].cast(pl.String).fill_null("unknown").to_list(),
        parameters,
        seed=seed,
    )


def judge_conformal(predictions: pl.DataFrame, parameters: ConformalParameters, seed: int) -> dict[str, SetQuality]:
    """Form sets of classes from the calibration part on, and hold them against the test part.

    `split` takes one threshold from the calibration part; `adaptive` begins there and follows every label once it has
    ended. The calibration part also fitted the probabilities, with too few numbers to matter.

    Args:
        predictions: Table of `calibrate_predictions`.
        parameters: Of the sets.
        seed: Of the uniform draws.

    Returns:
        `split` and `adaptive`; nothing where there is no calibration part.
    """
    rows = predictions.filter(pl.col("part").is_in([CALIBRATED_ON, JUDGED])).sort("t0", "sample")
    probabilities, labels = class_columns(rows, "after"), rows["label"].to_numpy().astype(np.int64)
    known, asked = ((rows["part"] == part).to_numpy() for part in (CALIBRATED_ON, JUDGED))
    if not known.any():
        return {}
    spans = (rows["t0"].to_physical().to_numpy(), rows["t1"].to_physical().to_numpy())
    sets = {
        "split": split_sets((probabilities[known], labels[known]), probabilities[asked], parameters, seed),
        "adaptive": adaptive_sets(probabilities, labels, spans, parameters, seed).sets[asked],
    }
    return {name: judge_sets(formed, labels[asked], parameters) for name, formed in sets.items()}
