"""The contract of a preprocessing step: what it takes, what it gives, and the registry of steps by name.

A step of another package is a class like those in `standard_steps`, offered under the entry point group
`trademl_assets.preprocessing_steps`.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, Literal, Protocol

import polars as pl

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.foundation.registry import Registry
from trademl_assets.order_book.compression import CompressedDay
from trademl_assets.order_book.quality_report import QualityReport
from trademl_assets.sources.contract import InstrumentParameters

Form = Literal["raw rows", "clean rows", "snapshots"]
"""What frames hold on the way: rows of `TALL_SCHEMA` as delivered, rows that can be trusted, compressed snapshots."""


@dataclass
class DayMaterial:
    """What the steps of one instrument and day know beside the frame, and what they found.

    Attributes:
        instrument: The instrument.
        day: The UTC day.
        population: How many snapshots of the PREVIOUS day had each level (`POPULATION_SCHEMA`), None without one.
        facts: What the steps found, by step; JSON values.
        report: What cleaning found, None before that.
        clean_rows: The rows that were compressed, for the certificate; None before that.
        compressed: What compression made of them, None before that.
    """

    instrument: InstrumentParameters
    day: date
    population: pl.DataFrame | None
    facts: dict[str, Any] = field(default_factory=dict)
    report: QualityReport | None = None
    clean_rows: pl.DataFrame | None = None
    compressed: CompressedDay | None = None


class PreprocessingStep(Protocol):
    """One step; built as `step(parameters)`."""

    parameters: ClassVar[type[Parameters]]
    takes: ClassVar[Form]
    gives: ClassVar[Form]

    def apply(self, frame: pl.DataFrame, material: DayMaterial) -> pl.DataFrame:
        """Make one form of a day out of another; rows after an instant never decide what happens to rows before it.

        Raises:
            DataQualityError: The day cannot be used; names instrument and day.
        """
        ...


PREPROCESSING_STEPS: Registry[type[Any]] = Registry("preprocessing step", "trademl_assets.preprocessing_steps")
"""Steps by name: classes that keep to `PreprocessingStep`."""
