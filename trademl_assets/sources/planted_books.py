"""Books of the planted market: from a latent day to quantities and levels on ticks, the one truth of all tables.

A slot has bid quantity exp(log median + size noise + log ratio / 2), ask quantity with the ratio's sign turned. The log
ratio is the band's latent mean plus the slot's deviation from it. Near levels are single levels at random tick gaps; a
bin spreads its quantity evenly over equally spaced levels.
"""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.contract import InstrumentParameters
from trademl_assets.sources.planted_dynamics import step_dynamics
from trademl_assets.sources.planted_market import BOOK_STREAM, LatentDay, day_random, latent_day
from trademl_assets.sources.planted_parameters import PlantedMarketParameters

Integers = NDArray[np.int64]
Singles = NDArray[np.float32]
BID, ASK = 0, 1
_UINT16_RANGE = 65_536


class Levels(NamedTuple):
    """Where the levels of N books lie, in ticks from the best price of their side; the last axis is the side.

    Attributes:
        near: Near levels, shape (N, near levels, 2).
        start: First level of each bin, shape (N, bins, 2).
        gap: Distance between a bin's levels, shape (N, bins, 2).
        held: Levels of each bin, 0 where it is empty, shape (N, bins, 2).
    """

    near: NDArray[np.int32]
    start: NDArray[np.int32]
    gap: NDArray[np.int32]
    held: NDArray[np.int32]


@dataclass(frozen=True)
class SlotBooks:
    """Books of N snapshots of one instrument.

    Attributes:
        steps: Steps of the day, shape (N,).
        offset_us: Stamps in microseconds since the start of the day, shape (N,).
        crossed: Snapshots that arrive crossed, shape (N,).
        best: Best prices in ticks, bid then ask, shape (N, 2).
        levels: Where all levels lie.
        quantity: Quantity of each slot in base units, 0 where a bin is empty, shape (N, slots, 2).
    """

    steps: Integers
    offset_us: Integers
    crossed: NDArray[np.bool_]
    best: Integers
    levels: Levels
    quantity: NDArray[np.float64]

    def take(self, chosen: NDArray[np.bool_]) -> "SlotBooks":
        """Return the books where `chosen`, shape (N,), is true."""
        return SlotBooks(
            steps=self.steps[chosen],
            offset_us=self.offset_us[chosen],
            crossed=self.crossed[chosen],
            best=self.best[chosen],
            levels=Levels(*(part[chosen] for part in self.levels)),
            quantity=self.quantity[chosen],
        )


class _LevelDraws(NamedTuple):
    """Uniform integers; shapes (N, near levels, 2), (N, bins, 2), (N, bins, 2)."""

    near: NDArray[np.uint8]
    start: NDArray[np.uint16]
    empty: NDArray[np.uint16]


class _Placement(NamedTuple):
    """How levels are placed: gap and edges as shares of the mid, levels of each bin, how many bins are never empty."""

    near_gap: float
    edges: NDArray[np.float64]
    levels: Integers
    informative_bins: int
    empty_below: int


class _SlotNoise(NamedTuple):
    """Persistent and white noise of a slot; `borders` holds the first slot of each band and the end of the last."""

    borders: Integers
    persistence: np.float32
    persistent_sd: np.float32
    white_sd: np.float32


def draw_books(
    parameters: PlantedMarketParameters, position: int, instrument: InstrumentParameters, day: date, first_step: int
) -> SlotBooks:
    """Draw an instrument's books of a day, from `first_step` to the day's end.

    Args:
        parameters: The market.
        position: Position of the instrument in it.
        instrument: The configured instrument.
        day: The day.
        first_step: Steps before it are left out; what the others hold does not depend on it.

    Returns:
        Books of the snapshots that exist, crossed ones included.

    Raises:
        SourceError: An informative bin has no room for a level: ticks are too coarse or near levels reach too far.
    """
    latent, books = latent_day(parameters, day), parameters.books
    steps, slots, near = parameters.steps_per_day, parameters.slots, parameters.near_levels
    random = day_random(parameters, BOOK_STREAM, day, position)
    persistent, white, size = (random.standard_normal((steps, slots), dtype=np.float32) for _ in range(3))
    sides = (steps, slots - near, 2)
    draws = _LevelDraws(
        near=random.integers(0, 256, (steps, near, 2), dtype=np.uint8),
        start=random.integers(0, _UINT16_RANGE, sides, dtype=np.uint16),
        empty=random.integers(0, _UINT16_RANGE, sides, dtype=np.uint16),
    )
    extra_spread = np.minimum(random.standard_exponential(steps), 20) * books.mean_extra_spread_ticks
    chosen = np.flatnonzero(~latent.missing[first_step:, position]) + first_step

    ratio = _log_ratios(persistent, white, latent.bands[:, position].astype(np.float32), _slot_noise(parameters))
    medians = np.log(_medians(parameters) * instrument.reference_quantity * latent.volume).astype(np.float32)
    level = size[chosen] * np.float32(books.quantity_sd) + medians
    tilt = ratio[chosen] / 2
    quantity = np.exp(np.stack([level + tilt, level - tilt], axis=2)).astype(np.float64)

    spread = 1 + extra_spread[chosen].astype(np.int64)
    price_ticks = np.exp(latent.log_mid[chosen, position]) / instrument.tick_size
    best_bid = np.floor(price_ticks - spread / 2 + 0.5).astype(np.int64)
    best = np.stack([best_bid, best_bid + spread], axis=1)
    levels, crowded = _place_levels(
        best, _placement(parameters), _LevelDraws(draws.near[chosen], draws.start[chosen], draws.empty[chosen])
    )
    if crowded >= 0:
        raise SourceError(
            f"planted market, {instrument.name}, {day}: bin {crowded} has no room for a level at tick "
            f"{instrument.tick_size} -> a finer tick_size, a smaller near_gap_bps or wider bin_upper_edges_bps"
        )
    quantity[:, near:][levels.held == 0] = 0.0
    return SlotBooks(
        steps=chosen,
        offset_us=_offsets(parameters, latent, chosen, position),
        crossed=latent.crossed[chosen, position],
        best=best,
        levels=levels,
        quantity=quantity,
    )


def expected_volume(parameters: PlantedMarketParameters) -> float:
    """Mean total quantity of a snapshot's slots, both sides, in reference quantities, at volume factor 1."""
    books = parameters.books
    loadings, filled = np.zeros(parameters.slots), np.ones(parameters.slots)
    widths = [band.slots for band in books.bands]
    loadings[: sum(widths)] = np.repeat([band.loading for band in books.bands], widths)
    filled[max(parameters.near_levels, sum(widths)) :] = 1 - books.empty_bin_share
    variance = books.quantity_sd**2 + (books.slot_noise_sd**2 + (loadings * parameters.drift.signal) ** 2) / 4
    return float(2 * np.sum(filled * _medians(parameters) * np.exp(variance / 2)))


def _medians(parameters: PlantedMarketParameters) -> NDArray[np.float64]:
    """Median quantity of each slot, in reference quantities."""
    medians = [parameters.books.near_median_quantity, parameters.books.bin_median_quantity]
    return np.repeat(medians, [parameters.near_levels, parameters.slots - parameters.near_levels])


def _offsets(
    parameters: PlantedMarketParameters, latent: LatentDay, steps: Integers, position: int
) -> NDArray[np.int64]:
    instants: Integers = steps * (parameters.cadence_seconds * MICROSECONDS_PER_SECOND)
    offsets: Integers = instants - latent.jitter_us[steps, position]
    return offsets


def _slot_noise(parameters: PlantedMarketParameters) -> _SlotNoise:
    books = parameters.books
    return _SlotNoise(
        borders=np.cumsum([0, *(band.slots for band in books.bands)]),
        persistence=np.float32(step_dynamics(parameters).persistence),
        persistent_sd=np.float32(books.slot_noise_sd * np.sqrt(books.persistent_share)),
        white_sd=np.float32(books.slot_noise_sd * np.sqrt(1 - books.persistent_share)),
    )


def _placement(parameters: PlantedMarketParameters) -> _Placement:
    """Levels of a side beyond the near ones are spread evenly over the bins, earlier bins taking the remainder."""
    books, bins = parameters.books, len(parameters.bin_upper_edges_bps)
    spare = books.levels - parameters.near_levels
    return _Placement(
        near_gap=books.near_gap_bps / 1e4,
        edges=np.array(parameters.bin_upper_edges_bps) / 1e4,
        levels=np.array([spare // bins + (b < spare % bins) for b in range(bins)], dtype=np.int64),
        informative_bins=max(0, sum(band.slots for band in books.bands) - parameters.near_levels),
        empty_below=round(books.empty_bin_share * _UINT16_RANGE),
    )


@njit(cache=True)
def _log_ratios(persistent: Singles, white: Singles, band_means: Singles, noise: _SlotNoise) -> Singles:
    """Log ratios of all slots, shape (steps, slots); deviations within a band sum to zero, its mean is the latent one.

    Deviations start stationary each day; they carry no information, so the jump at midnight tells nothing.
    """
    steps, slots = persistent.shape
    fresh = np.sqrt(np.float32(1) - noise.persistence * noise.persistence)
    state = persistent[0].copy()
    ratio = np.empty((steps, slots), np.float32)
    for k in range(steps):
        for j in range(slots):
            if k > 0:
                state[j] = noise.persistence * state[j] + fresh * persistent[k, j]
            ratio[k, j] = noise.persistent_sd * state[j] + noise.white_sd * white[k, j]
        for b in range(noise.borders.size - 1):
            first, end = noise.borders[b], noise.borders[b + 1]
            total = np.float32(0)
            for j in range(first, end):
                total += ratio[k, j]
            shift = band_means[k, b] - total / np.float32(end - first)
            for j in range(first, end):
                ratio[k, j] += shift
    return ratio


@njit(cache=True, error_model="numpy")
def _place_levels(best: Integers, placement: _Placement, draws: _LevelDraws) -> tuple[Levels, int]:
    """Place all levels; returns them and the first informative bin that had no room, or -1."""
    count, near, _ = draws.near.shape
    bins = placement.levels.size
    shape = (count, bins, 2)
    levels = Levels(
        np.empty((count, near, 2), np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
    )
    bounds = np.empty((bins, 2))
    crowded = -1
    for n in range(count):
        mid = (best[n, 0] + best[n, 1]) / 2
        _bound_bins(bounds, placement.edges, mid, (best[n, 1] - best[n, 0]) / 2)
        widest = max(0.0, 2 * placement.near_gap * mid - 1) / 256
        for side in range(2):
            distance = 0
            for i in range(near):
                if i > 0:
                    distance += 1 + int(draws.near[n, i, side] * widest)
                levels.near[n, i, side] = distance
            for b in range(bins):
                low = max(distance + 1, int(bounds[b, 0]))
                room = int(bounds[b, 1]) - low
                informative = b < placement.informative_bins
                if room < 1 or (not informative and draws.empty[n, b, side] < placement.empty_below):
                    crowded = b if informative else crowded
                    continue
                held = min(placement.levels[b], room)
                gap = room // held
                spare = room - (gap * (held - 1) + 1)
                start = low + ((draws.start[n, b, side] * (spare + 1)) >> 16)
                levels.start[n, b, side] = start
                levels.gap[n, b, side] = gap
                levels.held[n, b, side] = held
                distance = start + gap * (held - 1)
    return levels, crowded


@njit(cache=True)
def _bound_bins(bounds: NDArray[np.float64], edges: NDArray[np.float64], mid: float, half_spread: float) -> None:
    """First tick from the best price that a level of each bin may take, and the first behind the last it may take.

    A tick of margin on both sides keeps levels off the edges whatever the rounding of prices.
    """
    for b in range(edges.size):
        bounds[b, 0] = 0.0 if b == 0 else np.ceil(edges[b - 1] * mid - half_spread) + 1
        bounds[b, 1] = np.floor(edges[b] * mid - half_spread)
