"""Builds a dataset: index, own streams, fitted statistics, recipe. Book and mask stay where they lie and are pinned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.clock import ClockFits, clock_columns, clock_stream, fit_clock
from trademl_assets.datasets.index_report import describe_blocks, describe_labels, support_warnings
from trademl_assets.datasets.ingredients import Ingredients, read_ingredients, whole_steps
from trademl_assets.datasets.inputs import GRID_ASSET
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.sample_index import SampleIndex, make_index
from trademl_assets.datasets.scaling import FittedScaling, evenly_spaced, fit_scaling
from trademl_assets.datasets.series import GridFrame
from trademl_assets.datasets.split_report import report_split
from trademl_assets.datasets.stream_kinds import additional_columns, make_additional
from trademl_assets.datasets.streams import (
    PRICE_COLUMNS,
    long_term_columns,
    long_term_stream,
    price_stream,
)
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.grid.encoding import BOOK_FIELDS, MASK_FIELDS, encode_masks
from trademl_assets.grid.gaps import MISSING
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.partition_writer import PartitionWriter

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class DatasetParts:
    """A dataset before it is written.

    Attributes:
        index: the sample index.
        arrays: the streams the dataset owns: price (T, A*5), clock (T, k), long_term (R, stats, A), the additional
            ones (T, k), and, of candles, mask (T, A*4).
        recipe: everything decided or fitted, as JSON.
        upstream: "asset/partition" -> content hash of everything it was built from.
    """

    index: pl.DataFrame
    arrays: dict[str, NDArray[np.float32]]
    recipe: dict[str, Any]
    upstream: dict[str, str]


def build_dataset(store: ArtifactStore, parameters: DatasetParameters, frame: GridFrame) -> DatasetParts:
    """Read grid days and daily context through the store and make the dataset's parts.

    Raises:
        MissingPartitionError: listing the partitions that are not there.
        ConfigError: parameters that do not fit the grid.
        DataQualityError: a part without samples, or quantile classes that coincide.
    """
    ingredients = read_ingredients(store, parameters, frame)
    index = make_index(ingredients)
    clock_fits = fit_clock_of(ingredients)
    scaling, arrays = fit_streams(ingredients)
    scaling |= fit_book(store, ingredients)
    if parameters.streams.clock is not None:
        arrays["clock"] = make_clock(ingredients, clock_fits)
    recipe = _recipe(store, ingredients, index, scaling=scaling, clock_fits=clock_fits, arrays=arrays)
    return DatasetParts(index.table, arrays, recipe, ingredients.upstream)


def write_dataset(writer: PartitionWriter, parts: DatasetParts) -> None:
    """Write a dataset's parts into its partition: table `index`, arrays `streams`, json `recipe`, notes of counts."""
    writer.table("index", parts.index)
    writer.arrays("streams", parts.arrays)
    writer.json("recipe", parts.recipe)
    writer.rows(parts.index.height)
    writer.note("samples", {block["part"]: block["on_stride"] for block in parts.recipe["blocks"]})
    writer.note("counts", parts.recipe["counts"])


def fit_clock_of(ingredients: Ingredients) -> ClockFits:
    """The clock's fits on the training steps."""
    return fit_clock(ingredients.clock_inputs(), ingredients.training, *ingredients.training_span_us)


def make_price(ingredients: Ingredients) -> NDArray[np.float32]:
    """The price stream over the ingredients' series."""
    return price_stream(ingredients.series, ingredients.frame.cadence_seconds, ingredients.parameters.sigma)


def make_mask(ingredients: Ingredients) -> NDArray[np.float32]:
    """The mask stream over a series of candles, (T, A*4), in the grid's fields; ages beyond the longest fill are 1.

    Where the series come from the grid, the mask lies there and is not made.
    """
    series, longest_us = ingredients.series, ingredients.frame.max_gap_seconds * MICROSECONDS_PER_SECOND
    ages_us = (series.age_seconds.astype(np.float64) * MICROSECONDS_PER_SECOND).astype(np.int64)
    return encode_masks(series.state, np.minimum(ages_us, longest_us), longest_us).astype(np.float32)


def make_clock(ingredients: Ingredients, fits: ClockFits) -> NDArray[np.float32]:
    """The clock stream over the ingredients' series; (T, 0) where the dataset has none."""
    clock = ingredients.parameters.streams.clock
    if clock is None:
        return np.empty((ingredients.series.steps, 0), np.float32)
    return clock_stream(ingredients.clock_inputs(), fits, clock.columns, clock.encoding)


def fit_book(store: ArtifactStore, ingredients: Ingredients) -> dict[str, FittedScaling]:
    """Scaling of the book stream, (levels, A*4), from evenly spaced training steps; empty without such a stream."""
    parameters = ingredients.parameters
    if parameters.streams.book is None:
        return {}
    names = _per_instrument(parameters.instruments, BOOK_FIELDS)
    return {
        "book": fit_scaling(
            _book_rows(store, ingredients, scaling_steps(ingredients)), names, parameters.scaling.of("book")
        )
    }


def scaling_steps(ingredients: Ingredients) -> NDArray[np.int64]:
    """The training steps that scaling statistics are fitted on."""
    return evenly_spaced(np.flatnonzero(ingredients.training), ingredients.parameters.scaling.rows_at_most)


def fit_streams(ingredients: Ingredients) -> tuple[dict[str, FittedScaling], dict[str, NDArray[np.float32]]]:
    """Scaling of price, long-term and additional streams from training rows, and the streams themselves.

    A day without aggregates gets the training centre as its long-term values, which scales to zero.
    """
    parameters = ingredients.parameters
    scaling: dict[str, FittedScaling] = {}
    arrays: dict[str, NDArray[np.float32]] = {}
    if parameters.streams.price is not None:
        arrays["price"] = make_price(ingredients)
        names = _per_instrument(parameters.instruments, PRICE_COLUMNS)
        scaling["price"] = fit_scaling(
            arrays["price"][scaling_steps(ingredients)], names, parameters.scaling.of("price")
        )
    if parameters.streams.mask is not None and parameters.series_from == "candles":
        arrays["mask"] = make_mask(ingredients)
    if parameters.streams.long_term is not None:
        stream = long_term_stream(ingredients.context, parameters.streams.long_term.statistics)
        fitted = _fit_long_term(stream, ingredients)
        arrays["long_term"] = np.where(np.isnan(stream), fitted.center.astype(np.float32), stream)
        scaling["long_term"] = fitted
    for name in sorted(parameters.streams.additional):
        arrays[name] = make_additional(ingredients, name)
        columns = additional_columns(ingredients, name)
        scaling[name] = fit_scaling(arrays[name][scaling_steps(ingredients)], columns, parameters.scaling.of(name))
    return scaling, arrays


def _fit_long_term(stream: NDArray[np.float32], ingredients: Ingredients) -> FittedScaling:
    parameters = ingredients.parameters
    assert parameters.streams.long_term is not None  # noqa: S101  # the caller has looked
    names = long_term_columns(parameters.streams.long_term.statistics)
    days = ingredients.training_days() & (stream[:, -1, :] > 0).any(axis=1)
    fitted = fit_scaling(stream[days].swapaxes(1, 2), names, parameters.scaling.of("long_term"))
    center, scale = fitted.center.T.copy(), fitted.scale.T.copy()
    center[-1], scale[-1] = 0.0, 1.0
    return FittedScaling(center, scale, fitted.clip, fitted.constant)


def _book_rows(store: ArtifactStore, ingredients: Ingredients, steps: NDArray[np.int64]) -> NDArray[np.float16]:
    columns = _grid_columns(ingredients, len(BOOK_FIELDS))
    day_of, offset = np.divmod(steps, ingredients.frame.steps_per_day)
    rows = []
    for day in np.unique(day_of):
        book = store.open_arrays(GRID_ASSET, ingredients.days[day].isoformat(), "arrays")["book"]
        rows.append(book[offset[day_of == day]][:, :, columns])
    values = np.concatenate(rows)
    absent = np.repeat(ingredients.series.state[steps] == MISSING, len(BOOK_FIELDS), axis=1)
    values[np.broadcast_to(absent[:, None, :], values.shape)] = np.nan
    return values


def _grid_columns(ingredients: Ingredients, fields: int) -> NDArray[np.int64]:
    positions = ingredients.frame.positions(ingredients.parameters.instruments)
    return np.asarray((positions[:, None] * fields + np.arange(fields)).reshape(-1))


def _per_instrument(instruments: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{instrument}:{column}" for instrument in instruments for column in columns)


def _recipe(
    store: ArtifactStore,
    ingredients: Ingredients,
    index: SampleIndex,
    *,
    scaling: dict[str, FittedScaling],
    clock_fits: ClockFits,
    arrays: dict[str, NDArray[np.float32]],
) -> dict[str, Any]:
    parameters, cadence = ingredients.parameters, ingredients.frame.cadence_seconds
    stated = json.loads(parameters.model_dump_json())
    blocks = describe_blocks(index, ingredients)
    split = report_split(parameters.split, parameters.layout, index.primary, blocks)
    return {
        "instruments": list(parameters.instruments),
        "cadence_seconds": cadence,
        "days": [day.isoformat() for day in ingredients.days],
        "labels": stated["labels"],
        **describe_labels(index),
        "warnings": [*support_warnings(index, parameters.labels.minimum_class_support), *split.warnings],
        "blocks": blocks,
        **split.entries,
        "effective_samples": _sum_by_part(blocks),
        "counts": index.counts,
        "segments": {
            "start_step": ingredients.start_step,
            "length_steps": whole_steps(parameters.segments.length, cadence, "segments.length"),
            "lookback_steps": whole_steps(parameters.segments.anchor_lookback, cadence, "segments.anchor_lookback"),
        },
        "streams": _describe_streams(store, ingredients, arrays),
        "scaling": {name: fitted.as_dict() for name, fitted in scaling.items()},
        "clock_fits": {
            "largest_sigma": clock_fits.largest_sigma,
            "volumes": list(clock_fits.volumes),
            "first_us": clock_fits.first_us,
            "last_us": clock_fits.last_us,
        },
        "grid": {
            "max_gap_seconds": ingredients.frame.max_gap_seconds,
            "instruments": list(ingredients.frame.instruments),
        },
        "feature_pipeline_id": parameters.feature_pipeline_id,
        "parameters": stated,
        "upstream": dict(sorted(ingredients.upstream.items())),
    }


def _sum_by_part(blocks: Sequence[dict[str, Any]]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for block in blocks:
        totals[block["part"]] = totals.get(block["part"], 0.0) + block["effective_samples"]
    return totals


def _describe_streams(
    store: ArtifactStore, ingredients: Ingredients, arrays: dict[str, NDArray[np.float32]]
) -> dict[str, Any]:
    parameters, cadence = ingredients.parameters, ingredients.frame.cadence_seconds
    streams, described = parameters.streams, {}
    for name, stream, fields in (("book", streams.book, BOOK_FIELDS), ("mask", streams.mask, MASK_FIELDS)):
        if stream is not None:
            lookback = whole_steps(stream.lookback, cadence, f"streams.{name}.lookback")
            names = _per_instrument(parameters.instruments, fields)
            described[name] = (
                _describe_own(arrays[name], names, lookback)
                if name in arrays
                else _describe_grid(store, ingredients, name, names, lookback)
            )
    if streams.price is not None:
        lookback = whole_steps(streams.price.lookback, cadence, "streams.price.lookback")
        names = _per_instrument(parameters.instruments, PRICE_COLUMNS)
        described["price"] = _describe_own(arrays["price"], names, lookback)
    if streams.clock is not None:
        lookback = whole_steps(streams.clock.lookback, cadence, "streams.clock.lookback")
        described["clock"] = _describe_own(
            arrays["clock"], clock_columns(streams.clock.columns, streams.clock.encoding), lookback
        )
    if streams.long_term is not None:
        names = long_term_columns(streams.long_term.statistics)
        described["long_term"] = _describe_own(arrays["long_term"], names, streams.long_term.lookback_days)
    for name, extra in sorted(streams.additional.items()):
        lookback = whole_steps(extra.lookback, cadence, f"streams.additional.{name}.lookback")
        described[name] = _describe_own(arrays[name], additional_columns(ingredients, name), lookback)
    return described


def _describe_grid(
    store: ArtifactStore, ingredients: Ingredients, name: str, names: Sequence[str], lookback_steps: int
) -> dict[str, Any]:
    first_day = store.open_arrays(GRID_ASSET, ingredients.days[0].isoformat(), "arrays")[name]
    instruments = ingredients.parameters.instruments
    columns = _grid_columns(ingredients, len(names) // len(instruments))
    return {
        "columns": list(names),
        "step_shape": [*first_day.shape[1:-1], len(columns)],
        "dtype": str(first_day.dtype),
        "lookback_steps": lookback_steps,
        "lies_in": GRID_ASSET,
        "grid_columns": None if ingredients.frame.instruments == instruments else columns.tolist(),
    }


def _describe_own(array: NDArray[np.float32], columns: Sequence[str], lookback_steps: int) -> dict[str, Any]:
    return {
        "columns": list(columns),
        "step_shape": list(array.shape[1:]),
        "dtype": str(array.dtype),
        "lookback_steps": lookback_steps,
        "lies_in": "dataset",
    }
