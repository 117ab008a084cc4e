"""What a decision's windows show in a few numbers: books by band, trailing returns and volatility, the clock, the days.

Every number is a trailing one of steps up to the decision's own, and of days before its own. Nothing is scaled: the
rows are for learners that only ask whether a number lies above another.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.dataset_facts import LONG_TERM
from trademl_assets.datasets.parameters import SECONDS_PER_DAY
from trademl_assets.datasets.streams import PRESENT, PRICE_COLUMNS
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.grid.encoding import BOOK_FIELDS

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Steps = NDArray[np.int64]
Span = Annotated[int, Field(gt=0)]
ROWS_AT_ONCE = 2048
"""Books that are pooled at a time: some megabytes."""
SUMMARISED = frozenset({"book", "price", "mask", LONG_TERM})
"""Streams that are not shown by their last row."""


class SummaryParameters(Parameters):
    """How windows are summed up; a span longer than a stream's look-back is cut to it.

    Attributes:
        book_bands: Bands of as many slots each, in which bid and ask quantity are compared; at most as many as slots.
        book_looks: Books that a span is judged by, spread evenly over it.
        book_spans_seconds: Spans over which the imbalance of a band is averaged.
        return_spans_seconds: Spans of trailing returns and of realised volatility.
        long_term_spans_days: Spans over which daily statistics are averaged.
    """

    book_bands: Annotated[int, Field(ge=1)]
    book_looks: Annotated[int, Field(ge=1)]
    book_spans_seconds: Annotated[tuple[Span, ...], Field(min_length=1)]
    return_spans_seconds: Annotated[tuple[Span, ...], Field(min_length=1)]
    long_term_spans_days: Annotated[tuple[Span, ...], Field(min_length=1)]


def summarise_windows(dataset: Dataset, rows: pl.DataFrame, parameters: SummaryParameters) -> Features:
    """(n, k) float32 of decisions; NaN where a day is absent.

    Args:
        dataset: The opened dataset, whose streams say what there is to sum up.
        rows: Decisions: step, instrument.
        parameters: Bands and spans.

    Raises:
        CorruptArtifactError, MissingPartitionError: A day is not what the dataset was built from.
    """
    steps = rows["step"].to_numpy().astype(np.int64)
    names = list(dataset.instruments)
    whose = np.array([names.index(name) for name in rows["instrument"].cast(pl.String).to_list()], dtype=np.float64)
    columns = [whose[:, None], (steps % dataset.steps_per_day)[:, None] * (dataset.cadence_seconds / SECONDS_PER_DAY)]
    if "book" in dataset.streams:
        columns.append(_books(dataset, steps, parameters))
    if "price" in dataset.streams:
        columns += [_prices(dataset, steps, asset, parameters) for asset in range(len(names))]
    if LONG_TERM in dataset.streams:
        columns.append(_days(dataset, steps, parameters))
    for stream in dataset.streams:
        if stream not in SUMMARISED:
            columns.append(_read(dataset, stream, steps).reshape(len(steps), -1))
    return np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=np.float32)


def _spans(dataset: Dataset, stream: str, seconds: Sequence[int]) -> list[int]:
    """Spans in steps, each once, none beyond the stream's look-back."""
    most = dataset.lookback_steps(stream)
    return sorted({min(max(each // dataset.cadence_seconds, 1), most) for each in seconds})


def _books(dataset: Dataset, steps: Steps, parameters: SummaryParameters) -> Floats:
    """(n, (spans + 1) * assets * bands): imbalance of each band over each span, and its depth over the longest."""
    spans = _spans(dataset, "book", parameters.book_spans_seconds)
    lags = [np.unique(np.linspace(0, span - 1, parameters.book_looks).astype(np.int64)) for span in spans]
    looked = [np.maximum(steps[:, None] - each, 0) for each in lags]
    needed = np.unique(np.concatenate([each.ravel() for each in looked]))
    pooled = np.concatenate([_pool(each, parameters.book_bands) for each in _chunks(dataset, "book", needed)])
    shown = [pooled[np.searchsorted(needed, each)].mean(axis=1) for each in looked]
    found = np.stack([*(each[:, 0] for each in shown), shown[-1][:, 1]], axis=1)
    return np.asarray(found.reshape(len(steps), -1))


def _pool(book: NDArray[np.float16], bands: int) -> Features:
    """(n, 2, assets * bands) mean difference and mean sum of log quantities of bid and ask; 0 where a band is empty."""
    fields, slots = len(BOOK_FIELDS), book.shape[1]
    bid, ask = (book[:, :, BOOK_FIELDS.index(name) :: fields] for name in ("bid_log_quantity", "ask_log_quantity"))
    bid, ask = bid.astype(np.float32), ask.astype(np.float32)
    present = ((bid > 0) & (ask > 0)).astype(np.float32)
    first = np.unique(np.linspace(0, slots, bands + 1).astype(np.int64)[:-1])
    count = np.maximum(np.add.reduceat(present, first, axis=1), 1.0)
    sums = [np.add.reduceat(values * present, first, axis=1) / count for values in (bid - ask, bid + ask)]
    return np.asarray(np.stack(sums, axis=1).reshape(len(book), 2, -1))


def _prices(dataset: Dataset, steps: Steps, asset: int, parameters: SummaryParameters) -> Floats:
    """(n, 2 * spans + 4): returns and realised volatility over trailing sigma; both sigmas, spread, microprice now."""
    spans = _spans(dataset, "price", parameters.return_spans_seconds)
    first = max(int(steps.min(initial=0)) - max(spans), 0)
    place = asset * len(PRICE_COLUMNS)
    path = _between(dataset, "price", first, int(steps.max(initial=0)) + 1, slice(place, place + len(PRICE_COLUMNS)))
    scaled, log_sigma = (
        path[:, PRICE_COLUMNS.index(name)].astype(np.float64) for name in ("return_over_sigma", "log_sigma_short")
    )
    returns = scaled * np.exp(log_sigma)
    total, squares = (np.concatenate([[0.0], np.cumsum(values)]) for values in (returns, returns**2))
    end = steps - first + 1
    sigma, columns = np.exp(log_sigma[end - 1]), []
    for span in spans:
        begin = np.maximum(end - span, 0)
        columns += [
            (total[end] - total[begin]) / (sigma * np.sqrt(span)),
            np.sqrt(np.maximum(squares[end] - squares[begin], 0.0) / (end - begin)) / sigma,
        ]
    return np.concatenate([np.stack(columns, axis=1), path[end - 1, 1:]], axis=1)


def _days(dataset: Dataset, steps: Steps, parameters: SummaryParameters) -> Floats:
    """(n, spans * stats * assets) means over the last days before the decision's; NaN where none of them is there."""
    days, whose = np.unique(steps // dataset.steps_per_day, return_inverse=True)
    presence = dataset.columns(LONG_TERM).index(PRESENT)
    spans = sorted({min(span, dataset.lookback_steps(LONG_TERM)) for span in parameters.long_term_spans_days})
    found = []
    for day in days:
        window = dataset.long_term(int(day)).astype(np.float64)
        for span in spans:
            last = window[-span:]
            here = last[:, presence] > 0
            count = here.sum(axis=0)
            summed = np.where(here[:, None, :], last, 0.0).sum(axis=0)
            found.append(np.where(count > 0, summed / np.maximum(count, 1), np.nan))
    return np.asarray(np.stack(found).reshape(len(days), -1)[whose])


def _read(dataset: Dataset, stream: str, steps: Steps) -> NDArray[np.float64]:
    """(n, *shape of a step) rows of a stream at steps."""
    needed, whose = np.unique(steps, return_inverse=True)
    return np.concatenate(list(_chunks(dataset, stream, needed))).astype(np.float64)[whose]


def _chunks(dataset: Dataset, stream: str, steps: Steps) -> Iterator[NDArray[np.float16]]:
    """Rows of a stream at ascending steps, some at a time."""
    stored = dataset.stored
    file_rows, columns = stored.file_rows(stream), stored.columns(stream)
    files, first = np.unique(steps // file_rows, return_index=True)
    for number, inside in zip(files, np.split(steps % file_rows, first[1:]), strict=True):
        for begin in range(0, len(inside), ROWS_AT_ONCE):
            values = stored.file(stream, int(number))[inside[begin : begin + ROWS_AT_ONCE]]
            yield values if columns is None else values[..., columns]


def _between(dataset: Dataset, stream: str, first: int, last: int, columns: slice) -> NDArray[np.float32]:
    """(last - first, columns) of a stream on consecutive steps, in the order of the dataset's columns."""
    stored, found, at = dataset.stored, [], first
    file_rows, own = stored.file_rows(stream), stored.columns(stream)
    while at < last:
        number, offset = divmod(at, file_rows)
        count = min(file_rows - offset, last - at)
        values = stored.file(stream, number)[offset : offset + count]
        found.append(np.asarray((values if own is None else values[:, own])[:, columns]))
        at += count
    return np.concatenate(found)
