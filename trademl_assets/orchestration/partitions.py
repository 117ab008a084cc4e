"""The partition spaces of a deployment, made from its configuration, and the keys within them.

Days are their own dimension rather than part of one big key, because look-backs exist only from day to day. Days of
books, days of history and days of the grid begin at different dates, hence several spaces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from trademl_assets.candles.bars import month_days
from trademl_assets.configuration.model import Configuration

DAY = "day"
INSTRUMENT = "instrument"
EXPERIMENT = "experiment"
MODEL = "model"
MONTH = "calendar_month"  # keys name dimensions in alphabetical order: the month is to come before the instrument
MONTH_FORMAT = "%Y-%m"
SEPARATOR = "|"
WHOLE_MARKET = "all"


@dataclass(frozen=True)
class Spaces:
    """Partition spaces of a deployment.

    Attributes:
        books: Day and instrument, from the first day with books.
        days: Days with books.
        history: Days that exist at least as daily aggregates.
        series: Configured external series.
        candles: Calendar month and instrument, over the whole history; none where no source delivers candles.
        market: One partition for all days and instruments together.
        experiments: Configured datasets.
        trials: Experiment and model.
    """

    books: dg.MultiPartitionsDefinition
    days: dg.DailyPartitionsDefinition
    history: dg.DailyPartitionsDefinition
    series: dg.StaticPartitionsDefinition
    candles: dg.MultiPartitionsDefinition
    market: dg.StaticPartitionsDefinition
    experiments: dg.StaticPartitionsDefinition
    trials: dg.MultiPartitionsDefinition


def build_spaces(configuration: Configuration) -> Spaces:
    """Make the partition spaces that a configuration spans."""
    market = configuration.market
    days = _daily(market.first_day, market.last_day)
    instruments = dg.StaticPartitionsDefinition([instrument.name for instrument in market.instruments])
    experiments = dg.StaticPartitionsDefinition(sorted(configuration.datasets))
    models = dg.StaticPartitionsDefinition(sorted(configuration.all_models))
    return Spaces(
        books=dg.MultiPartitionsDefinition({DAY: days, INSTRUMENT: instruments}),
        days=days,
        history=_daily(market.history_first_day, market.last_day),
        series=dg.StaticPartitionsDefinition(sorted(market.series)),
        candles=_candles(configuration),
        market=dg.StaticPartitionsDefinition([WHOLE_MARKET]),
        experiments=experiments,
        trials=dg.MultiPartitionsDefinition({EXPERIMENT: experiments, MODEL: models}),
    )


def join_key(*parts: str) -> str:
    """Join the parts of a multi-dimensional key, dimensions in alphabetical order as Dagster writes them."""
    return SEPARATOR.join(parts)


def split_key(key: str) -> tuple[str, ...]:
    """Split a key into its parts; a one-dimensional key has one."""
    return tuple(str(key).split(SEPARATOR))


def day_of(key: str) -> date:
    """Day of a key whose first dimension is the day."""
    return date.fromisoformat(split_key(key)[0])


def month_of(key: str) -> date:
    """First day of the month of a key whose first dimension is the month."""
    return date.fromisoformat(f"{split_key(key)[0]}-01")


def ranges(keys: Sequence[str], space: dg.PartitionsDefinition[str]) -> list[tuple[str, str]]:
    """Cover `keys` exactly by contiguous ranges; for two dimensions a range is the product of two, as in Dagster.

    Args:
        keys: Keys of the space, without repetition.
        space: The partition space.

    Returns:
        First and last key of each range, in the order of the space.
    """
    if not keys:
        return []
    if isinstance(space, dg.MultiPartitionsDefinition):
        return _product_ranges(keys, space)
    order = {key: number for number, key in enumerate(space.get_partition_keys())}
    return [(chunk[0], chunk[-1]) for chunk in _contiguous(sorted(keys, key=order.__getitem__), order)]


def _product_ranges(keys: Sequence[str], space: dg.MultiPartitionsDefinition) -> list[tuple[str, str]]:
    first, second = (
        {key: number for number, key in enumerate(dimension.partitions_def.get_partition_keys())}
        for dimension in space.partitions_defs
    )
    columns: dict[str, list[str]] = {}
    for key in keys:
        row, column = split_key(key)
        columns.setdefault(row, []).append(column)
    found: list[tuple[str, str]] = []
    previous: tuple[str, list[list[str]]] | None = None
    start = ""
    for row in sorted(columns, key=first.__getitem__):
        chunks = _contiguous(sorted(columns[row], key=second.__getitem__), second)
        if previous is None or previous[1] != chunks or first[row] != first[previous[0]] + 1:
            found.extend(_close(start, previous))
            start = row
        previous = (row, chunks)
    return found + _close(start, previous)


def _close(start: str, previous: tuple[str, list[list[str]]] | None) -> list[tuple[str, str]]:
    if previous is None:
        return []
    last, chunks = previous
    return [(join_key(start, chunk[0]), join_key(last, chunk[-1])) for chunk in chunks]


def _contiguous(keys: Sequence[str], order: dict[str, int]) -> list[list[str]]:
    chunks: list[list[str]] = []
    for key in keys:
        if chunks and order[key] == order[chunks[-1][-1]] + 1:
            chunks[-1].append(key)
        else:
            chunks.append([key])
    return chunks


def _candles(configuration: Configuration) -> dg.MultiPartitionsDefinition:
    market = configuration.market
    months = dg.MonthlyPartitionsDefinition(
        start_date=f"{market.history_first_day:{MONTH_FORMAT}}",
        end_date=f"{month_days(market.last_day)[1] + timedelta(days=1):{MONTH_FORMAT}}",
        fmt=MONTH_FORMAT,
    )
    names = [] if market.candle_source is None else list(market.instruments_by_name())
    return dg.MultiPartitionsDefinition({MONTH: months, INSTRUMENT: dg.StaticPartitionsDefinition(names)})


def _daily(first: date, last: date) -> dg.DailyPartitionsDefinition:
    return dg.DailyPartitionsDefinition(start_date=first.isoformat(), end_date=(last + timedelta(days=1)).isoformat())
