"""The planted market of the demo, as every benchmark reads it."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from trademl_assets.configuration.model import Configuration
from trademl_assets.configuration.reading import load_configuration
from trademl_assets.sources.market import build_source
from trademl_assets.sources.simulator import PlantedMarket

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class PlantedDays:
    """The market and the days that are measured.

    Attributes:
        configuration: Configuration of the demo.
        source: Its planted market.
        day: A day with books on the day before.
        day_before: The day before.
    """

    configuration: Configuration
    source: PlantedMarket
    day: date
    day_before: date


@cache
def planted_days() -> PlantedDays:
    """Return the planted market of the demo."""
    configuration = load_configuration(PROJECT / "configs" / "demo", {"TRADEML_VAR": "unused"})
    first = configuration.market.first_day
    return PlantedDays(configuration, build_source(configuration.market, "depth_source"), first.replace(day=2), first)
