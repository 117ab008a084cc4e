"""The steps that come with the platform: `clean`, `compress`, `keep_hours` and `thin`."""

from datetime import time
from typing import Annotated, ClassVar, Self

import polars as pl
from pydantic import Field, model_validator

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.compression import CompressionParameters, compress_day
from trademl_assets.order_book.population import kept_depth
from trademl_assets.order_book.quality import QualityParameters, clean_or_mask
from trademl_assets.order_book.steps import PREPROCESSING_STEPS, DayMaterial, Form


@PREPROCESSING_STEPS.register("clean")
class Clean:
    """Drops snapshots that cannot be trusted, counts them by cause, refuses days beyond the limits."""

    parameters: ClassVar[type[Parameters]] = QualityParameters
    takes: ClassVar[Form] = "raw rows"
    gives: ClassVar[Form] = "clean rows"

    def __init__(self, parameters: QualityParameters) -> None:
        self._parameters = parameters

    def apply(self, frame: pl.DataFrame, material: DayMaterial) -> pl.DataFrame:
        """See `clean_or_mask`; the report becomes the fact `quality`."""
        rows, report = clean_or_mask(frame, material.instrument.name, material.day, self._parameters)
        material.report = report
        material.facts["quality"] = report.as_dict()
        return rows


@PREPROCESSING_STEPS.register("compress")
class Compress:
    """Keeps the near levels, sums deeper ones into bins, drops levels that the previous day did not populate."""

    parameters: ClassVar[type[Parameters]] = CompressionParameters
    takes: ClassVar[Form] = "clean rows"
    gives: ClassVar[Form] = "snapshots"

    def __init__(self, parameters: CompressionParameters) -> None:
        self._parameters = parameters

    def apply(self, frame: pl.DataFrame, material: DayMaterial) -> pl.DataFrame:
        """See `compress_day`; what was lost becomes the fact `compression`."""
        settings = self._parameters
        depth = kept_depth(material.population, settings.near_market_levels, settings.min_nonzero_threshold)
        compressed = compress_day(frame, material.instrument, material.day, self._parameters, depth)
        material.clean_rows, material.compressed = frame, compressed
        material.facts["compression"] = compressed.facts()
        return compressed.snapshots


class KeepHoursParameters(Parameters):
    """Hours of the day that are kept.

    Attributes:
        first: First time of day that is kept, UTC.
        until: First time of day that is not kept any more, UTC.
    """

    first: time
    until: time

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first >= self.until:
            raise ValueError(f"first {self.first} must lie before until {self.until}")
        return self


@PREPROCESSING_STEPS.register("keep_hours")
class KeepHours:
    """Keeps a slice of every day; the rest is missing on the grid."""

    parameters: ClassVar[type[Parameters]] = KeepHoursParameters
    takes: ClassVar[Form] = "snapshots"
    gives: ClassVar[Form] = "snapshots"

    def __init__(self, parameters: KeepHoursParameters) -> None:
        self._parameters = parameters

    def apply(self, frame: pl.DataFrame, material: DayMaterial) -> pl.DataFrame:
        """Rows whose time of day lies in [first, until); the fact `keep_hours` counts those left out."""
        times = pl.col("ts").dt.time()
        kept = frame.filter(times >= self._parameters.first, times < self._parameters.until)
        material.facts["keep_hours"] = {"left_out": frame.height - kept.height}
        return kept


class ThinParameters(Parameters):
    """How snapshots are thinned.

    Attributes:
        interval_seconds: Of each interval (k - 1, k] * interval since midnight the last snapshot is kept.
    """

    interval_seconds: Annotated[int, Field(ge=1, le=86_400)]


@PREPROCESSING_STEPS.register("thin")
class Thin:
    """Keeps one snapshot an interval, its last, so that feeds of many a second take the room of the grid they feed."""

    parameters: ClassVar[type[Parameters]] = ThinParameters
    takes: ClassVar[Form] = "snapshots"
    gives: ClassVar[Form] = "snapshots"

    def __init__(self, parameters: ThinParameters) -> None:
        self._interval_us = parameters.interval_seconds * MICROSECONDS_PER_SECOND

    def apply(self, frame: pl.DataFrame, material: DayMaterial) -> pl.DataFrame:
        """The last row of every interval, as it is; the fact `thin` counts those left out."""
        interval = -(-pl.col("ts").to_physical() // self._interval_us)
        last = (interval != interval.shift(-1)).fill_null(value=True)
        kept = frame.filter(last)
        material.facts["thin"] = {"left_out": frame.height - kept.height}
        return kept
