"""As-of reading of an external series: at every instant what anybody could know of it by then."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.sources.contract import SERIES_SCHEMA


class AlignedSeries(NamedTuple):
    """A series at T instants.

    Attributes:
        value: (T,) float64, NaN where nothing is known.
        age_seconds: (T,) float64, seconds since the value was published, NaN where nothing is known.
        known: (T,) bool.
    """

    value: NDArray[np.float64]
    age_seconds: NDArray[np.float64]
    known: NDArray[np.bool_]


def align_series(
    series: pl.DataFrame, instants_us: NDArray[np.int64], max_age_seconds: int | None = None
) -> AlignedSeries:
    """Read a series at instants, never before its publication.

    Of all that was published at or before an instant, the value about the latest `ts` is shown, as it was published
    last. So a revision of the shown value replaces it from its own publication on, and a late publication or revision
    of an older `ts` changes nothing. Over weekends and holidays the value stays and its age grows.

    Args:
        series: Rows of `SERIES_SCHEMA` of one series, sorted by (published, ts).
        instants_us: Microseconds since the epoch, UTC, any order, shape (T,).
        max_age_seconds: A value published longer ago is not known any more; None keeps it for good.

    Returns:
        Value, age and whether there is one.

    Raises:
        DataQualityError: The rows are of another schema, of several series, unsorted, repeat a (published, ts), or hold
            nulls or values that are not finite.
    """
    _require_sound(series)
    about = series["ts"].to_physical().to_numpy()
    shown = about == np.maximum.accumulate(about) if len(about) else np.empty(0, dtype=bool)
    published = series["published"].to_physical().to_numpy()[shown]
    values = series["value"].to_numpy()[shown]
    rows = np.searchsorted(published, instants_us, side="right") - 1
    known = rows >= 0
    age, value = np.full(len(instants_us), np.nan), np.full(len(instants_us), np.nan)
    age[known] = (instants_us[known] - published[rows[known]]) / MICROSECONDS_PER_SECOND
    if max_age_seconds is not None:
        known &= age <= max_age_seconds
        age[~known] = np.nan
    value[known] = values[rows[known]]
    return AlignedSeries(value, age, known)


def _require_sound(series: pl.DataFrame) -> None:
    if dict(series.schema) != dict(SERIES_SCHEMA):
        raise DataQualityError(f"an external series has {dict(series.schema)}, expected {dict(SERIES_SCHEMA)}")
    names = series["name"].unique(maintain_order=True).to_list()
    where = f"external series {', '.join(map(str, names))}"
    if len(names) > 1:
        raise DataQualityError(f"{where}: rows of several series -> align one at a time")
    earlier, same = pl.col("published").diff().dt.total_microseconds(), pl.col("ts").diff().dt.total_microseconds()
    faults = {
        "without an instant or a finite value": pl.any_horizontal(pl.col("ts", "published").is_null())
        | ~pl.col("value").is_finite().fill_null(value=False),
        "not ascending in (published, ts)": ((earlier < 0) | ((earlier == 0) & (same <= 0))).fill_null(value=False),
    }
    for fault, expression in faults.items():
        found = series.filter(expression)
        if not found.is_empty():
            raise DataQualityError(
                f"{where}: {found.height} rows {fault}, the first published {found['published'][0]} -> materialise "
                "external_series again"
            )
