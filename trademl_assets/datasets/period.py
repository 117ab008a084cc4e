"""The streams and labels of any days by the recipe of a dataset: its classes, scales and clock, nothing fitted anew."""

import json
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.build import DatasetParts, make_clock, make_mask, make_price
from trademl_assets.datasets.candle_inputs import CANDLE_ASSET, candle_partitions
from trademl_assets.datasets.clock import ClockFits
from trademl_assets.datasets.ingredients import Ingredients, read_ingredients
from trademl_assets.datasets.inputs import GRID_ASSET
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.sample_index import make_index, stated_edges
from trademl_assets.datasets.series import GridFrame
from trademl_assets.datasets.split_parameters import BlockParameters, BlocksSplitParameters
from trademl_assets.datasets.splits import Block
from trademl_assets.datasets.stream_kinds import make_additional
from trademl_assets.datasets.streams import long_term_stream
from trademl_assets.foundation.calendar import day_bounds, to_microseconds
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore

DAY = timedelta(days=1)


def build_period(store: ArtifactStore, recipe: dict[str, Any], first_day: date, last_day: date) -> DatasetParts:
    """Build the samples of days as one test block, with the days before that windows and trailing figures reach into.

    Args:
        store: Where grid days (or months of candles) and daily context lie.
        recipe: Of the dataset that gives classes, scales and clock.
        first_day: First day, UTC.
        last_day: Last day, inclusive.

    Raises:
        ConfigError: The days are in the wrong order.
        MissingPartitionError: A day was never materialised.
        DataQualityError: The days have no sample.
    """
    if last_day < first_day:
        raise ConfigError(f"last_day {last_day} lies before first_day {first_day} -> swap them")
    stated = DatasetParameters.model_validate_json(json.dumps(recipe["parameters"]))
    begin = first_day - _lead_in(store, stated, first_day) * DAY
    end = _with_label_ends(store, stated, last_day)
    parameters = stated.model_copy(
        update={
            "first_day": begin,
            "last_day": end,
            "first_instant": None,
            "minimum_history": timedelta(0),
            "split": _one_block((end - begin) // DAY + 1),
        }
    )
    grid = recipe["grid"]
    frame = GridFrame(int(recipe["cadence_seconds"]), int(grid["max_gap_seconds"]), tuple(grid["instruments"]))
    read = read_ingredients(store, parameters, frame)
    first_us, last_us = to_microseconds(day_bounds(first_day)[0]), to_microseconds(day_bounds(last_day)[1])
    values = {name: getattr(read, name) for name in read.__dataclass_fields__} | {
        "blocks": (Block("test", first_us, last_us),)
    }
    ingredients = Ingredients(**values)
    index = make_index(ingredients, stated_edges(recipe))
    cells = dict(recipe["segments"])
    cells["start_step"] = int(cells["start_step"]) % int(cells["length_steps"])
    period = {
        **recipe,
        "days": [day.isoformat() for day in ingredients.days],
        "blocks": [{"part": "test", "first_us": first_us, "last_us": last_us, "name": "", "hindsight": False}],
        "segments": cells,
        "counts": index.counts,
        "upstream": dict(sorted(ingredients.upstream.items())),
    }
    return DatasetParts(index.table, _streams(ingredients, recipe), period, ingredients.upstream)


def _lead_in(store: ArtifactStore, parameters: DatasetParameters, first_day: date) -> int:
    """Days before the first that are read: for windows, anchors and trailing sigmas, as far back as there are days."""
    reach = max(
        [parameters.streams.short_lookback, parameters.segments.anchor_lookback]
        + ([parameters.streams.clock.lookback] if parameters.streams.clock is not None else [])
        + [extra.lookback for extra in parameters.streams.additional.values()]
    )
    wanted = -(-(reach + timedelta(seconds=parameters.sigma.long_window_seconds)) // DAY)
    there = 0
    while there < wanted and _is_there(store, parameters, first_day - (there + 1) * DAY):
        there += 1
    return there


def _with_label_ends(store: ArtifactStore, parameters: DatasetParameters, last_day: date) -> date:
    """The day whose first step the labels that end at midnight are read from, where it is there."""
    following = last_day + DAY
    return following if _is_there(store, parameters, following) else last_day


def _is_there(store: ArtifactStore, parameters: DatasetParameters, day: date) -> bool:
    """Whether a day was materialised: its grid, or the months of all candles that it lies in."""
    if parameters.series_from == "grid":
        return store.manifest(GRID_ASSET, day.isoformat()) is not None
    months = candle_partitions((day,), parameters.instruments)
    return all(store.manifest(CANDLE_ASSET, key) is not None for key in months)


def _one_block(days: int) -> BlocksSplitParameters:
    """A split that covers everything read; the period's own block takes its place."""
    length = BlockParameters.model_validate_json(json.dumps({"part": "train", "length": f"P{days}D"}))
    return BlocksSplitParameters.model_construct(
        kind="blocks",
        embargo_seconds=0,
        degradation=(),
        minimum_effective_samples={},
        on_short_part="warn",
        blocks=(length,),
    )


def _streams(ingredients: Ingredients, recipe: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    parameters = ingredients.parameters
    arrays: dict[str, NDArray[np.float32]] = {}
    if parameters.streams.price is not None:
        arrays["price"] = make_price(ingredients)
    if parameters.streams.mask is not None and parameters.series_from == "candles":
        arrays["mask"] = make_mask(ingredients)
    if parameters.streams.clock is not None:
        fits = recipe["clock_fits"]
        volumes = tuple(fits["volumes"])
        arrays["clock"] = make_clock(
            ingredients, ClockFits(fits["largest_sigma"], volumes, fits["first_us"], fits["last_us"])
        )
    if parameters.streams.long_term is not None:
        stream = long_term_stream(ingredients.context, parameters.streams.long_term.statistics)
        center = np.asarray(recipe["scaling"]["long_term"]["center"], np.float32).reshape(stream.shape[1:])
        arrays["long_term"] = np.where(np.isnan(stream), center, stream)
    for name in sorted(parameters.streams.additional):
        arrays[name] = make_additional(ingredients, name)
    return arrays
