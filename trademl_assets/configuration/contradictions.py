"""What no section can see alone: values of one section that do not fit those of another."""

from collections.abc import Iterator, Mapping
from itertools import product

from pydantic import ValidationError

from trademl_assets.candles.parameters import CandleParameters
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.foundation.choice import flatten
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.grid.alignment import GridParameters
from trademl_assets.long_term.parameters import LongTermParameters
from trademl_assets.models.ablation import AblationParameters
from trademl_assets.models.parameters import DistributionHead
from trademl_assets.models.registry import ModelParameters
from trademl_assets.order_book.compression import CompressionParameters, DistanceBins
from trademl_assets.order_book.sequence import OrderBookParameters
from trademl_assets.order_book.standard_steps import ThinParameters
from trademl_assets.sources.bar_files import BarFiles
from trademl_assets.sources.market import MarketParameters
from trademl_assets.sources.planted_parameters import PlantedMarketParameters
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.space import read_defaults

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
    if grid.min_assets_required > len(names):
        problem = f"{grid.min_assets_required} instruments are required, market.yaml has {len(names)}"
        yield ("grid", "min_assets_required"), problem


def planted_contradictions(
    market: MarketParameters, grid: GridParameters, compression: CompressionParameters
) -> Iterator[Contradiction]:
    """Yield where a planted market would not make the snapshots that the other sections expect."""
    expected = {
        "cadence_seconds": (grid.cadence_seconds, "grid.yaml"),
        "near_levels": (compression.near_market_levels, "order_book.yaml"),
        "bin_upper_edges_bps": (_distance_edges(compression), "order_book.yaml"),
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


def _distance_edges(compression: CompressionParameters) -> tuple[float, ...] | None:
    return compression.bins.upper_edges_bps if isinstance(compression.bins, DistanceBins) else None


def thinning_contradictions(order_book: OrderBookParameters, grid: GridParameters) -> Iterator[Contradiction]:
    """Yield thinned snapshots that the grid would see late."""
    for number, choice in enumerate(order_book.steps):
        if isinstance(choice.parameters, ThinParameters) and grid.cadence_seconds % choice.parameters.interval_seconds:
            problem = (
                f"{choice.parameters.interval_seconds} s do not divide cadence_seconds {grid.cadence_seconds} in "
                "grid.yaml: steps of the grid would show older snapshots than there were"
            )
            yield ("order_book", "steps", str(number), "parameters", "interval_seconds"), problem


def long_term_contradictions(
    market: MarketParameters, compression: CompressionParameters, long_term: LongTermParameters
) -> Iterator[Contradiction]:
    """Yield what the slow channel asks of the market or of the compressed books in vain."""
    reference = long_term.regimes.reference_instrument
    if reference not in market.instruments_by_name():
        yield ("long_term", "regimes", "reference_instrument"), _no_instrument(reference, market)
    for number, group in enumerate(long_term.level_groups):
        if group.last_slot > compression.slots:
            problem = f"group {group.name} ends at slot {group.last_slot}, order_book.yaml keeps {compression.slots}"
            yield ("long_term", "level_groups", str(number), "last_slot"), problem


def candle_contradictions(market: MarketParameters, candles: CandleParameters) -> Iterator[Contradiction]:
    """Yield bars of another length than the candles are to have."""
    source = market.sources.get(market.candle_source or "")
    if source is None or not isinstance(source.parameters, BarFiles):
        return
    if source.parameters.bar_seconds != candles.cadence_seconds:
        place = ("market", "sources", str(market.candle_source), "parameters", "bar_seconds")
        yield place, f"{source.parameters.bar_seconds} differs from {candles.cadence_seconds} in candles.yaml"


def dataset_contradictions(
    experiment: str,
    dataset: DatasetParameters,
    market: MarketParameters,
    grid: GridParameters,
    candles: CandleParameters,
) -> Iterator[Contradiction]:
    """Yield what a dataset asks of the market, of the grid or of the candles in vain."""
    place = ("datasets", experiment)
    for name in dataset.instruments:
        if name not in market.instruments_by_name():
            yield (*place, "instruments"), _no_instrument(name, market)
    from_candles = dataset.series_from == "candles"
    begin, what = (market.history_first_day, "candles") if from_candles else (market.first_day, "books")
    if dataset.first_day < begin or dataset.last_day > market.last_day:
        asked, there = f"{dataset.first_day} to {dataset.last_day}", f"{begin} to {market.last_day}"
        yield (*place, "first_day"), f"days {asked} reach beyond the {what} of market.yaml ({there})"
    if not (market.candle_source is not None if from_candles else market.delivers_books):
        yield (*place, "series_from"), f"{dataset.series_from}, but market.yaml names no source of {what}"
    yield from _without_books(place, dataset, market)
    cadence, file = (candles.cadence_seconds, "candles.yaml") if from_candles else (grid.cadence_seconds, "grid.yaml")
    labels = dataset.labels
    durations = [("horizons_seconds", seconds) for seconds in labels.horizons_seconds]
    keys = ("decision_stride_seconds", "decision_phase_seconds", "training_phase_seconds")
    durations += [(key, getattr(labels, key)) for key in keys]
    for key, seconds in durations:
        if seconds % cadence:
            yield (*place, "labels", key), f"{seconds} is no multiple of cadence_seconds {cadence} in {file}"
    for series in labels.external_series:
        if series not in market.series:
            yield (*place, "labels", "parameters"), _no_series(series, market)
    yield from _of_additional_streams(place, dataset, market)


def _of_additional_streams(
    place: tuple[str, ...], dataset: DatasetParameters, market: MarketParameters
) -> Iterator[Contradiction]:
    for name, extra in dataset.streams.additional.items():
        try:
            extra.build().columns(dataset.instruments)
        except ConfigError as error:
            yield (*place, "streams", "additional", name, "parameters"), str(error)
        for series in extra.build().external_series:
            if series not in market.series:
                yield (*place, "streams", "additional", name, "parameters"), _no_series(series, market)


def _no_series(series: str, market: MarketParameters) -> str:
    return f"reads the external series {series!r}, market.yaml has {', '.join(market.series) or 'none'}"


def _without_books(
    place: tuple[str, ...], dataset: DatasetParameters, market: MarketParameters
) -> Iterator[Contradiction]:
    """Yield streams that read daily facts, which are made from books."""
    if market.delivers_books:
        return
    problem = "reads daily facts of books, and market.yaml names no source of books"
    if dataset.streams.long_term is not None:
        yield (*place, "streams", "long_term"), problem
    daily = {"volume_percentile", "market_regime"} & set(
        () if dataset.streams.clock is None else dataset.streams.clock.columns
    )
    if daily:
        yield (*place, "streams", "clock", "columns"), f"{', '.join(sorted(daily))} {problem}"


def model_contradictions(
    models: Mapping[str, ModelParameters], datasets: Mapping[str, DatasetParameters]
) -> Iterator[Contradiction]:
    """Yield streams that a model reads and a dataset leaves out, and classes that it cannot forecast."""
    for name, model in models.items():
        for experiment, dataset in datasets.items():
            yield from _of_classes(name, model, experiment, dataset)
            for stream in getattr(model.parameters, "streams", ()):
                if not dataset.streams.has(stream):
                    problem = f"reads the stream {stream}, which {experiment} in datasets.yaml leaves out"
                    yield ("models", name, "parameters", stream), problem


def ablation_contradictions(
    ablations: Mapping[str, AblationParameters],
    models: Mapping[str, ModelParameters],
    datasets: Mapping[str, DatasetParameters],
) -> Iterator[Contradiction]:
    """Yield ablations of nothing, that change nothing, or whose parameters do not fit the model or a dataset."""
    for name, ablation in ablations.items():
        place, base = ("ablations", name), models.get(ablation.of)
        if name in models:
            yield place, f"models.yaml has a model {name}, too: give the ablation another name"
        if base is None:
            yield (*place, "of"), f"{ablation.of!r} is no model of models.yaml, which has {', '.join(models)}"
            continue
        try:
            ablated = ablation.applied_to(base)
        except ValidationError as error:
            for inside, detail in flatten(error):
                yield (*place, *map(str, inside)), detail["msg"].removeprefix("Value error, ")
            continue
        if ablated == base:
            yield (*place, "parameters"), f"leave {ablation.of} as it is: state what is taken away"
        known = {problem for _, problem in model_contradictions({ablation.of: base}, datasets)}
        for (_, *where), problem in model_contradictions({name: ablated}, datasets):
            if problem not in known:
                yield ("ablations", *where), problem


def search_contradictions(
    models: Mapping[str, ModelParameters],
    training: TrainingParameters,
    datasets: Mapping[str, DatasetParameters],
    tuning: StudyParameters,
) -> Iterator[Contradiction]:
    """Yield searched paths that name nothing, or whose configured value lies outside its range."""
    found: dict[Contradiction, None] = {}
    for (name, model), (experiment, dataset) in product(models.items(), datasets.items()):
        values = {
            "model": model.parameters.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "weights": dataset.weights.model_dump(mode="json"),
        }
        for path, searched in tuning.space.items():
            where = f"experiment {experiment}" if path.startswith("weights.") else f"model {name}"
            try:
                read_defaults(values, {path: searched})
            except ConfigError as error:
                found[("tuning", "space", path), f"for {where}: {error}"] = None
    yield from found


def _no_instrument(name: str, market: MarketParameters) -> str:
    return f"{name!r} is no instrument of market.yaml, which has {', '.join(market.instruments_by_name())}"


def _of_classes(
    name: str, model: ModelParameters, experiment: str, dataset: DatasetParameters
) -> Iterator[Contradiction]:
    head = getattr(model.parameters, "head", None)
    if isinstance(head, DistributionHead) and dataset.labels.build().edge_unit != "return_bps":
        problem = f"distribution forecasts the return, by which the labels of {experiment} in datasets.yaml are not cut"
        yield ("models", name, "parameters", "head"), problem
