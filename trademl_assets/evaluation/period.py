"""Judging a trained model on days of its own: which days may be judged, and what stands beside its predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import day_bounds, from_microseconds, to_microseconds
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.scoring.calibration import Calibration
from trademl_assets.scoring.predictions import KEPT

Floats = NDArray[np.float64]
SEEN_PARTS = ("train", "validation", "calibration")
"""Parts whose labels a model has been made with."""


@dataclass(frozen=True)
class PeriodMaterial:
    """What a model is judged on in a period.

    Attributes:
        predictions: As `calibrate_predictions` makes them: the period as part `test`, and the calibration block.
        index: Training rows of the dataset and the rows of the period, numbered on.
        recipe: Of the dataset, with the period as its last block.
    """

    predictions: pl.DataFrame
    index: pl.DataFrame
    recipe: dict[str, Any]


def find_seen(recipe: Mapping[str, Any], first_day: date, last_day: date) -> list[str]:
    """Return the blocks that a model was made with and that days overlap, a phrase each.

    Args:
        recipe: Of its dataset.
        first_day: First day, UTC.
        last_day: Last day, inclusive.
    """
    first, last = to_microseconds(day_bounds(first_day)[0]), to_microseconds(day_bounds(last_day)[1])
    return [
        f"{block['part']} ({from_microseconds(block['first_us'])} to {from_microseconds(block['last_us'])})"
        for block in recipe["blocks"]
        if block["part"] in SEEN_PARTS and block["first_us"] < last and first < block["last_us"]
    ]


def require_unseen(recipe: Mapping[str, Any], first_day: date, last_day: date, *, hindsight: bool) -> bool:
    """Refuse days that a model was made with, unless that is asked for; tell whether the judgement is hindsight.

    Days before the end of training are hindsight, too: training data lies after them.

    Raises:
        ConfigError: Naming the blocks.
    """
    seen = find_seen(recipe, first_day, last_day)
    if seen and not hindsight:
        raise ConfigError(
            f"{first_day} to {last_day} overlaps what the model was made with: {', '.join(seen)} -> choose other days, "
            "or give hindsight: true, which marks the judgement"
        )
    trained_until = max(block["last_us"] for block in recipe["blocks"] if block["part"] == "train")
    return bool(seen) or to_microseconds(day_bounds(first_day)[0]) < trained_until


def gather_period(
    recipe: Mapping[str, Any],
    index: pl.DataFrame,
    stored: pl.DataFrame,
    period: pl.DataFrame,
    *,
    block: Mapping[str, Any],
    samples: NDArray[np.int64],
    logits: Floats,
    calibration: Calibration,
    before: Floats,
) -> PeriodMaterial:
    """Put predictions of a period beside what a model is judged against.

    Args:
        recipe: Of the model's dataset.
        index: Sample index of that dataset over the primary horizon.
        stored: Calibrated predictions of the model, of which the calibration block is kept.
        period: Sample index of the period over the primary horizon.
        block: Description of the period as a block of a recipe.
        samples: (N,) samples of `period` that were predicted.
        logits: (N, C) of the ensemble.
        calibration: As it was fitted with the model.
        before: (N, C) probabilities before calibration.
    """
    offset, number = int(index["sample"].to_numpy().max(initial=-1)) + 1, len(recipe["blocks"])
    numbered = period.with_columns(
        pl.col("sample") + offset, block=pl.lit(number, dtype=period.schema["block"]), part=pl.lit("test")
    )
    chosen = pl.DataFrame({"sample": samples + offset}).join(numbered, on="sample", how="left", maintain_order="left")
    regimes: Sequence[str] = chosen["regime"].cast(pl.String).fill_null("unknown").to_list()
    columns = {
        f"{name}_{at}": column
        for name, values in (("before", before), ("after", calibration.apply(logits, regimes)))
        for at, column in enumerate(values.T)
    }
    own = chosen.select(KEPT).with_columns(**columns)
    kept = stored.filter(pl.col("part") == "calibration").select(own.columns)
    seen = index.filter(pl.col("part").is_in(SEEN_PARTS))
    together = pl.concat([seen, numbered.select(seen.columns)]).sort("t0", maintain_order=True)
    return PeriodMaterial(
        predictions=pl.concat([kept, own.cast(kept.schema)]).sort("t0", "sample"),
        index=together,
        recipe={**recipe, "blocks": [*recipe["blocks"], dict(block)]},
    )
