"""Books of the planted market: from a latent day to slot quantities and tick offsets, the one truth behind snapshots and tall rows alike.

Slot j of side s has quantity exp(log median + size noise +- log ratio / 2), the log ratio being the band's latent mean plus the slot's
deviation from it. Near levels are single levels at random tick gaps; a bin spreads its quantity evenly over equally spaced levels.
"""

from dataclasses import dataclass, fields
from datetime import date

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.planted_market import BOOK_STREAM, day_random, latent_day, step_dynamics
from trademl_assets.sources.planted_parameters import PlantedMarketParameters

Integers = NDArray[np.int64]
BID, ASK = 0, 1


@dataclass(frozen=True)
class SlotBooks:
    """Books of N snapshots of one instrument; the last axis of three-dimensional arrays is the side, bid then ask.

    Attributes:
        steps: Steps of the day, shape (N,).
        offset_us: Stamps in microseconds since the start of the day, shape (N,).
        crossed: Snapshots that arrive crossed, shape (N,).
        best: Best prices in ticks, shape (N, 2).
        near_ticks: Distance of each near level from its best price in ticks, shape (N, near levels, 2).
        bin_start, bin_gap, bin_count: First level's distance from the best price, distance between levels and number of levels of each
            bin, the first two in ticks, shape (N, bins, 2).
        quantity: Quantity of each slot in base units, 0 where a bin is empty, shape (N, slots, 2).
    """

    steps: Integers
    offset_us: Integers
    crossed: NDArray[np.bool_]
    best: Integers
    near_ticks: NDArray[np.int32]
    bin_start: NDArray[np.int32]
    bin_gap: NDArray[np.int32]
    bin_count: NDArray[np.int32]
    quantity: NDArray[np.float64]

    def take(self, chosen: NDArray[np.bool_]) -> "SlotBooks":
        """Return the books where `chosen`, shape (N,), is true."""
        return SlotBooks(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def draw_books(
    parameters: PlantedMarketParameters,
    instrument: int,
    tick_size: float,
    reference_quantity: float,
    day: date,
    first_step: int,
) -> SlotBooks:
    """Draw an instrument's books of a day, from `first_step` to the day's end.

    Args:
        parameters: The market.
        instrument: Position of the instrument.
        tick_size: Its tick in quote currency.
        reference_quantity: Its reference quantity in base units.
        day: The day.
        first_step: Steps before it are left out; what the others hold does not depend on it.

    Returns:
        Books of the snapshots that exist, crossed ones included.

    Raises:
        SourceError: An informative bin has no room for a level because ticks are too coarse or near levels reach too far.
    """
    latent = latent_day(parameters, day)
    steps, slots, near = parameters.steps_per_day, parameters.slots, parameters.near_levels
    bins = slots - near
    random = day_random(parameters, BOOK_STREAM, day, instrument)
    persistent = random.standard_normal((steps, slots), dtype=np.float32)
    white = random.standard_normal((steps, slots), dtype=np.float32)
    size = random.standard_normal((steps, slots), dtype=np.float32)
    near_draws = random.integers(0, 256, (steps, near, 2), dtype=np.uint8)
    bin_draws = random.integers(0, 65_536, (steps, bins, 2), dtype=np.uint16)
    empty_draws = random.integers(0, 65_536, (steps, bins, 2), dtype=np.uint16)
    spread_draws = random.standard_exponential(steps)
    chosen = np.flatnonzero(~latent.missing[first_step:, instrument]) + first_step

    books = parameters.books
    widths = np.array([band.slots for band in books.bands])
    ratio = _log_ratios(
        persistent,
        white,
        latent.bands[:, instrument].astype(np.float32),
        np.concatenate([[0], np.cumsum(widths)]),
        np.float32(step_dynamics(parameters).persistence),
        np.float32(books.slot_noise_sd * np.sqrt(books.persistent_share)),
        np.float32(books.slot_noise_sd * np.sqrt(1 - books.persistent_share)),
    )[chosen]
    medians = np.log(
        np.repeat([books.near_median_quantity, books.bin_median_quantity], [near, bins])
        * reference_quantity
        * latent.volume
    )
    level = size[chosen] * np.float32(books.quantity_sd) + medians.astype(np.float32)
    quantity = np.exp(np.stack([level + ratio / 2, level - ratio / 2], axis=2)).astype(np.float64)

    spread = (
        1
        + np.minimum(spread_draws * books.mean_extra_spread_ticks, 20 * books.mean_extra_spread_ticks).astype(np.int64)[
            chosen
        ]
    )
    price_ticks = np.exp(latent.log_mid[chosen, instrument]) / tick_size
    best_bid = np.floor(price_ticks - spread / 2 + 0.5).astype(np.int64)
    best = np.stack([best_bid, best_bid + spread], axis=1)
    informative_bins = max(0, int(widths.sum()) - near)
    shape = (chosen.size, bins, 2)
    near_ticks = np.empty((chosen.size, near, 2), np.int32)
    bin_start, bin_gap, bin_count = np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.int32)
    crowded = _place_levels(
        best,
        books.near_gap_bps / 1e4,
        np.array(parameters.bin_upper_edges_bps) / 1e4,
        _levels_of_bins(parameters),
        informative_bins,
        round(books.empty_bin_share * 65_536),
        near_draws[chosen],
        bin_draws[chosen],
        empty_draws[chosen],
        near_ticks,
        bin_start,
        bin_gap,
        bin_count,
    )
    if crowded >= 0:
        name = parameters.instruments[instrument].name
        raise SourceError(
            f"planted market, {name}, {day}: bin {crowded} has no room for a level at tick {tick_size} -> "
            "a finer tick_size, a smaller near_gap_bps or wider bin_upper_edges_bps"
        )
    quantity[:, near:][bin_count == 0] = 0.0
    cadence_us = parameters.cadence_seconds * 1_000_000
    return SlotBooks(
        steps=chosen,
        offset_us=chosen * cadence_us - latent.jitter_us[chosen, instrument],
        crossed=latent.crossed[chosen, instrument],
        best=best,
        near_ticks=near_ticks,
        bin_start=bin_start,
        bin_gap=bin_gap,
        bin_count=bin_count,
        quantity=quantity,
    )


def expected_volume(parameters: PlantedMarketParameters) -> float:
    """Mean total quantity of a snapshot's slots, both sides, in reference quantities, at volume factor 1."""
    books, near = parameters.books, parameters.near_levels
    loadings = np.zeros(parameters.slots)
    widths = [band.slots for band in books.bands]
    loadings[: sum(widths)] = np.repeat([band.loading for band in books.bands], widths)
    variance = books.quantity_sd**2 + (books.slot_noise_sd**2 + (loadings * parameters.drift.signal) ** 2) / 4
    filled = np.ones(parameters.slots)
    filled[max(near, sum(widths)) :] = 1 - books.empty_bin_share
    medians = np.where(np.arange(parameters.slots) < near, books.near_median_quantity, books.bin_median_quantity)
    return float(2 * np.sum(filled * medians * np.exp(variance / 2)))


def _levels_of_bins(parameters: PlantedMarketParameters) -> Integers:
    """Levels of a side spread evenly over the bins, earlier bins taking the remainder."""
    bins = len(parameters.bin_upper_edges_bps)
    spare = parameters.books.levels - parameters.near_levels
    return np.array([spare // bins + (b < spare % bins) for b in range(bins)], dtype=np.int64)


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _log_ratios(
    persistent: NDArray[np.float32],
    white: NDArray[np.float32],
    band_means: NDArray[np.float32],
    borders: Integers,
    persistence: np.float32,
    persistent_sd: np.float32,
    white_sd: np.float32,
) -> NDArray[np.float32]:
    """Log ratios of all slots, shape (steps, slots): within a band deviations sum to zero, so that its mean is the latent one.

    Deviations start stationary each day; they carry no information, so the jump at midnight tells nothing.
    """
    steps, slots = persistent.shape
    fresh = np.sqrt(np.float32(1) - persistence * persistence)
    state = persistent[0].copy()
    ratio = np.empty((steps, slots), np.float32)
    bands = borders.size - 1
    for k in range(steps):
        for j in range(slots):
            if k > 0:
                state[j] = persistence * state[j] + fresh * persistent[k, j]
            ratio[k, j] = persistent_sd * state[j] + white_sd * white[k, j]
        for b in range(bands):
            total = np.float32(0)
            for j in range(borders[b], borders[b + 1]):
                total += ratio[k, j]
            shift = band_means[k, b] - total / np.float32(borders[b + 1] - borders[b])
            for j in range(borders[b], borders[b + 1]):
                ratio[k, j] += shift
    return ratio


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba ships no types
def _place_levels(
    best: Integers,
    near_gap: float,
    edges: NDArray[np.float64],
    levels: Integers,
    informative_bins: int,
    empty_below: int,
    near_draws: NDArray[np.uint8],
    bin_draws: NDArray[np.uint16],
    empty_draws: NDArray[np.uint16],
    near_ticks: NDArray[np.int32],
    bin_start: NDArray[np.int32],
    bin_gap: NDArray[np.int32],
    bin_count: NDArray[np.int32],
) -> int:
    """Place all levels on ticks in place; returns the first informative bin without room, or -1."""
    count, near, _ = near_ticks.shape
    bins = levels.size
    for n in range(count):
        mid = (best[n, 0] + best[n, 1]) / 2
        half = (best[n, 1] - best[n, 0]) / 2
        widest = max(0.0, 2 * near_gap * mid - 1)
        for side in range(2):
            distance = 0
            for i in range(near):
                if i > 0:
                    distance += 1 + int(near_draws[n, i, side] * widest / 256)
                near_ticks[n, i, side] = distance
            for b in range(bins):
                low = distance + 1
                if b > 0:
                    # One tick of margin on both sides keeps levels off the edges whatever the rounding of prices.
                    low = max(low, int(np.ceil(edges[b - 1] * mid - half)) + 1)
                room = int(np.floor(edges[b] * mid - half)) - low
                if b < informative_bins:
                    if room < 1:
                        return b
                elif room < 1 or empty_draws[n, b, side] < empty_below:
                    bin_start[n, b, side], bin_gap[n, b, side], bin_count[n, b, side] = 0, 0, 0
                    continue
                held = min(levels[b], room)
                gap = room // held
                spare = room - (gap * (held - 1) + 1)
                start = low + int(bin_draws[n, b, side]) * (spare + 1) // 65_536
                bin_start[n, b, side], bin_gap[n, b, side], bin_count[n, b, side] = start, gap, held
                distance = start + gap * (held - 1)
    return -1
