"""A target's mids at 60 s, minute by minute, as the ingredients that label kinds look ahead in."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.series import DailyContext, GridFrame, GridSeries
from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets_tests.datasets.examples import FIRST, parameters_of, stated

MINUTE_US = 60_000_000
ORIGIN_US = to_microseconds(day_start(FIRST))
FRAME = GridFrame(cadence_seconds=60, max_gap_seconds=300, instruments=("FOLLOW",))
MISSING = 2


def market_of(mids: Any, *, unseen: Any = (), bars: np.ndarray | None = None, **labels: Any) -> Ingredients:
    """Ingredients of one instrument whose mid is not seen at the steps `unseen`; bars are (T, 4) open to volume."""
    values = stated() | {"target": "FOLLOW", "instruments": ["FOLLOW"]}
    values["labels"] |= labels
    values["sigma"] |= {"short_window_seconds": 600, "long_window_seconds": 600}
    mid = np.asarray(mids, dtype=np.float64)[:, None].copy()
    state = np.zeros(mid.shape, np.uint8)
    state[list(unseen)] = MISSING
    mid[list(unseen)] = np.nan
    none = np.zeros(mid.shape, np.float32)
    series = GridSeries(
        ORIGIN_US + np.arange(len(mid)) * MINUTE_US,
        mid,
        state,
        none,
        none,
        none,
        np.ones(len(mid), np.uint8),
        None if bars is None else bars[:, None, :],
    )
    parameters = parameters_of(values)
    context = DailyContext((), {}, ())
    return Ingredients(parameters, FRAME, (FIRST,), series, context, parameters.layout.blocks, {}, {}, "FOLLOW")


def with_series(ingredients: Ingredients, rows: list[tuple[int, int, float]]) -> Ingredients:
    """With an external series `signal` of (minute it is about, minute it was published, value)."""
    origin = day_start(FIRST)
    about, published = ([origin + timedelta(minutes=row[column]) for row in rows] for column in (0, 1))
    table = pl.DataFrame(
        {
            "name": ["signal"] * len(rows),
            "ts": pl.Series(about, dtype=pl.Datetime("us", "UTC")),
            "published": pl.Series(published, dtype=pl.Datetime("us", "UTC")),
            "value": [row[2] for row in rows],
        }
    )
    return replace(ingredients, external={"signal": table})
