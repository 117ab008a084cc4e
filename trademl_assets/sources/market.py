"""The market section of a deployment: its instruments, its days, and which source delivers what."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, PlainValidator, SerializeAsAny, model_validator

from trademl_assets.foundation.choice import chosen, known
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources import bar_files, files, simulator, sql  # noqa: F401 -- importing registers the kinds
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.events import (  # noqa: F401 -- the same
    binance_capture,
    binance_depth_csv,
    binance_lob_capture,
    cryptofeed_capture,
    order_events,
    tardis_incremental,
)
from trademl_assets.sources.formats import (  # noqa: F401 -- the same
    binance_book_ticker,
    json_level_files,
    level_column_files,
    list_column_files,
    tall_files,
    tardis_snapshots,
)
from trademl_assets.sources.series import daily_series, scored_events  # noqa: F401 -- the same

SeriesName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,60}$")]


class SourceChoice(Parameters):
    """A configured source.

    Attributes:
        kind: Registered kind of source.
        parameters: Parameters of that kind.
    """

    kind: Annotated[str, AfterValidator(known(SOURCES.get))]
    parameters: Annotated[
        SerializeAsAny[Parameters], PlainValidator(chosen("kind", lambda kind: SOURCES.get(kind).parameters))
    ]


class MarketParameters(Parameters):
    """Instruments, days and sources of a deployment.

    Attributes:
        instruments: Instruments in the order that the grid stacks them.
        history_first_day: First day that exists at least as daily aggregates.
        first_day: First day with books.
        last_day: Last day with books, inclusive.
        tall_rows_from: Days from here on are read as tall rows; earlier ones are imported as compressed snapshots.
        sources: Configured sources by name.
        depth_source: Source of tall rows, null where none is needed.
        snapshot_source: Source of compressed snapshots, null where none is needed.
        candle_source: Source of candles, null where none is needed. A market that has one, and no source of books, has
            no books: its days are those of candles.
        aggregate_source: Source of the aggregates before `first_day`, null where none is needed.
        optimum_source: Source that knows the best possible forecast, null on a real market.
        series: External series by name, each with the source that delivers it; empty where there are none.
    """

    instruments: Annotated[tuple[InstrumentParameters, ...], Field(min_length=1)]
    history_first_day: date
    first_day: date
    last_day: date
    tall_rows_from: date
    sources: dict[str, SourceChoice]
    depth_source: str | None
    snapshot_source: str | None
    candle_source: str | None
    aggregate_source: str | None
    optimum_source: str | None
    series: dict[SeriesName, str]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [instrument.name for instrument in self.instruments]
        if len(set(names)) != len(names):
            raise ValueError(f"instruments repeat a name: {names} -> give every instrument a name of its own")
        if not self.history_first_day <= self.first_day <= self.last_day:
            raise ValueError(
                f"days must ascend: history_first_day {self.history_first_day}, first_day {self.first_day}, "
                f"last_day {self.last_day}"
            )
        books = self.delivers_books
        needed = {
            "depth_source": books and self.tall_rows_from <= self.last_day,
            "snapshot_source": books and self.tall_rows_from > self.first_day,
            "aggregate_source": books and self.history_first_day < self.first_day,
            "candle_source": False,
            "optimum_source": False,
        }
        for role, is_needed in needed.items():
            self._check_role(role, is_needed=is_needed)
        for name, source in self.series.items():
            if source not in self.sources:
                raise ValueError(f"series {name}: {source!r} is not configured -> name one of {sorted(self.sources)}")
        return self

    @property
    def delivers_books(self) -> bool:
        """Whether there are books; a market of candles alone names no source of them."""
        return self.candle_source is None or not (self.depth_source is None and self.snapshot_source is None)

    def _check_role(self, role: str, *, is_needed: bool) -> None:
        name = getattr(self, role)
        if name is None and is_needed:
            raise ValueError(f"{role} is null, but the days ask for one -> name one of {sorted(self.sources)}")
        if name is not None and name not in self.sources:
            raise ValueError(f"{role} {name!r} is not configured -> name one of {sorted(self.sources)}")

    def instruments_by_name(self) -> Mapping[str, InstrumentParameters]:
        """Instruments by name, in the order of the grid."""
        return {instrument.name: instrument for instrument in self.instruments}


def build_source(market: MarketParameters, role: str) -> Any:
    """Build the source that plays a role.

    Args:
        market: The market section.
        role: `depth_source`, `snapshot_source`, `candle_source`, `aggregate_source` or `optimum_source`.

    Returns:
        The source, which has the methods of the role's protocol.

    Raises:
        ConfigError: No source plays the role.
    """
    name = getattr(market, role)
    if name is None:
        raise ConfigError(f"market.yaml: {role} is null -> name one of the configured sources {sorted(market.sources)}")
    return _build(market, name)


def build_series_source(market: MarketParameters, series: str) -> Any:
    """Build the source that delivers an external series; it has the methods of `SeriesSource`."""
    return _build(market, market.series[series])


def _build(market: MarketParameters, name: str) -> Any:
    choice = market.sources[name]
    return SOURCES.get(choice.kind)(choice.parameters, market.instruments_by_name())
