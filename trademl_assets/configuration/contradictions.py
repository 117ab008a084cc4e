"""What no section can see alone: values of one section that do not fit those of another."""

from collections.abc import Iterator

from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.grid.alignment import GridParameters
from trademl_assets.long_term.regimes import RegimeParameters
from trademl_assets.order_book.compression import CompressionParameters
from trademl_assets.sources.market import MarketParameters
from trademl_assets.sources.planted_parameters import PlantedMarketParameters

Contradiction = tuple[tuple[str, ...], str]
"""Place (section, then keys) and what is wrong there."""


class ContradictionsError(ValueError):
    """Sections that contradict each other.

    Args:
        found: All contradictions.
    """

    def __init__(self, found: list[Contradiction]) -> None:
        super().__init__("; ".join(problem for _, problem in found))
        self.found = found


def grid_contradictions(market: MarketParameters, grid: GridParameters) -> Iterator[Contradiction]:
    """Yield what the grid asks of the market in vain."""
    names = market.instruments_by_name()
    for required in grid.required_instruments:
        if required not in names:
            yield ("grid", "required_instruments"), _no_instrument(required, market)


def planted_contradictions(
    market: MarketParameters, grid: GridParameters, compression: CompressionParameters
) -> Iterator[Contradiction]:
    """Yield where a planted market would not make the snapshots that the other sections expect."""
    expected = {
        "cadence_seconds": (grid.cadence_seconds, "grid.yaml"),
        "near_levels": (compression.near_levels, "order_book.yaml"),
        "bin_upper_edges_bps": (compression.bin_upper_edges_bps, "order_book.yaml"),
        "first_day": (market.first_day, "market.yaml"),
        "last_day": (market.last_day, "market.yaml"),
        "history_first_day": (market.history_first_day, "market.yaml"),
    }
    for name, source in market.sources.items():
        if not isinstance(source.parameters, PlantedMarketParameters):
            continue
        for key, (value, file) in expected.items():
            if getattr(source.parameters, key) != value:
                place = ("market", "sources", name, "parameters", key)
                yield place, f"{getattr(source.parameters, key)} differs from {value} in {file}"


def regime_contradictions(market: MarketParameters, regimes: RegimeParameters) -> Iterator[Contradiction]:
    """Yield what the regimes ask of the market in vain."""
    if regimes.reference_instrument not in market.instruments_by_name():
        yield ("long_term", "reference_instrument"), _no_instrument(regimes.reference_instrument, market)


def dataset_contradictions(
    experiment: str, dataset: DatasetParameters, market: MarketParameters, grid: GridParameters
) -> Iterator[Contradiction]:
    """Yield what a dataset asks of the market or of the grid in vain."""
    place = ("datasets", experiment)
    for name in dataset.instruments:
        if name not in market.instruments_by_name():
            yield (*place, "instruments"), _no_instrument(name, market)
    if dataset.first_day < market.first_day or dataset.last_day > market.last_day:
        asked, books = f"{dataset.first_day} to {dataset.last_day}", f"{market.first_day} to {market.last_day}"
        yield (*place, "first_day"), f"days {asked} reach beyond the books of market.yaml ({books})"
    labels = dataset.labels
    for key in ("horizon_seconds", "decision_stride_seconds", "training_phase_seconds"):
        if getattr(labels, key) % grid.cadence_seconds:
            problem = f"{getattr(labels, key)} is no multiple of cadence_seconds {grid.cadence_seconds} in grid.yaml"
            yield (*place, "labels", key), problem


def _no_instrument(name: str, market: MarketParameters) -> str:
    return f"{name!r} is no instrument of market.yaml, which has {', '.join(market.instruments_by_name())}"
