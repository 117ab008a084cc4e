"""Parameters of the planted market: strengths, half-lives and shares that define it completely, as YAML has them."""

from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.parameters import Parameters

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SECONDS_PER_DAY = 86_400
SECONDS_PER_MINUTE = 60


class PlantedInstrument(Parameters):
    """One instrument of the market; the first of the list is the leader, the others follow it.

    Attributes:
        name: Name of the configured instrument, which brings tick size and reference quantity.
        initial_price: Mid at the start of the first day with books.
        minute_volatility_bps: Standard deviation of a minute's return at volatility level 1, drift left out.
    """

    name: str
    initial_price: Positive
    minute_volatility_bps: Positive


class DriftParameters(Parameters):
    """The planted signal: a VAR(1) of drifts, one per instrument.

    Attributes:
        signal: Stationary standard deviation of a minute's drift over the standard deviation of the minute's noise; 0
            plants nothing. At 0.15 the best forecast of half an hour explains about 0.2 of its variance.
        leader_half_life_minutes: Half-life of the leader's drift.
        follower_half_life_minutes: Half-life with which a follower's drift relaxes to its share of the leader's.
        follower_share: The share of the leader's drift that a follower relaxes to.
        noise_correlation: Correlation of the return noise between any two instruments.
    """

    signal: NotNegative
    leader_half_life_minutes: Positive
    follower_half_life_minutes: Positive
    follower_share: Annotated[float, Field(ge=0, le=1)]
    noise_correlation: Share


class BandParameters(Parameters):
    """Consecutive slots that show the drift alike.

    Attributes:
        slots: Number of slots; the first band starts at slot 0, each next one where the last ended.
        loading: Expected log(bid quantity / ask quantity) of a slot per unit of drift (minute sigmas a minute).
    """

    slots: Annotated[int, Field(ge=1)]
    loading: Annotated[float, Field(allow_inf_nan=False)]


class PlantedBookParameters(Parameters):
    """What a book looks like.

    Attributes:
        levels: Levels of a side of a full book, near levels included; the rest is spread evenly over the bins.
        bands: Informative bands from slot 0 on; slots behind the last band say nothing.
        slot_noise_sd: Standard deviation of a slot's log(bid quantity / ask quantity) around its expectation.
        persistent_share: Share of that variance which persists, as an AR(1).
        persistent_half_life_minutes: Half-life of the persistent part.
        near_median_quantity: Median quantity of a near level, in reference quantities, at a volume factor of 1.
        bin_median_quantity: The same of a bin, summed over its levels.
        quantity_sd: Standard deviation of the log of a slot's geometric mean quantity of both sides.
        near_gap_bps: Mean distance between near levels.
        mean_extra_spread_ticks: Mean of the spread beyond one tick, in ticks.
        empty_bin_share: Probability that a side of a bin behind the last band holds no level.
    """

    levels: Annotated[int, Field(ge=1)]
    bands: Annotated[tuple[BandParameters, ...], Field(min_length=1)]
    slot_noise_sd: Positive
    persistent_share: Share
    persistent_half_life_minutes: Positive
    near_median_quantity: Positive
    bin_median_quantity: Positive
    quantity_sd: NotNegative
    near_gap_bps: Positive
    mean_extra_spread_ticks: NotNegative
    empty_bin_share: Share


class DeliveryParameters(Parameters):
    """How snapshots arrive.

    Attributes:
        jitter_milliseconds: A snapshot of a grid instant is stamped within (instant - jitter, instant].
        missing_share: Probability that a snapshot does not exist.
        crossed_share: Probability that a snapshot is crossed: present in tall rows, absent from compressed snapshots.
    """

    jitter_milliseconds: Annotated[int, Field(ge=0)]
    missing_share: Share
    crossed_share: Share


class VolumeParameters(Parameters):
    """Daily volume: all quantities of a day are scaled by exp of an AR(1) over days, shared by the instruments.

    Attributes:
        half_life_days: Half-life of the log volume.
        sd: Stationary standard deviation of the log volume.
    """

    half_life_days: Positive
    sd: NotNegative


class GateParameters(Parameters):
    """The long-term gate: on a day the drift enters returns times 1 + strength * tanh(log(short / long) / scale).

    Short and long are mean volumes over so many earlier days. Books show the ungated drift, so the gate is visible only
    in the volumes of the days before.

    Attributes:
        strength: 0 leaves the gate open.
        short_days: Days before the day that make the short mean.
        long_days: Days before the day that make the long mean, as far as history reaches.
        scale: Log ratio at which the gate is at 76 % of its swing.
    """

    strength: Share
    short_days: Annotated[int, Field(ge=1)]
    long_days: Annotated[int, Field(ge=1)]
    scale: Positive


class PlantedMarketParameters(Parameters):
    """The whole planted market.

    Attributes:
        seed: Every number follows from it and from these parameters; a later `last_day` changes no earlier day.
        first_day: First day with books.
        last_day: Last day with books, inclusive.
        history_days: Days before `first_day` that exist as aggregates only.
        cadence_seconds: Time between snapshots; must be the grid's.
        near_levels: Near levels of a compressed snapshot; must be the order book's.
        bin_upper_edges_bps: Upper edges of its distance bins; must be the order book's.
        instruments: Leader first, then its followers.
        drift: The planted signal.
        volatility_levels: Volatility multipliers of consecutive days, cycled, the first for `first_day`.
        books: What a book looks like.
        delivery: How snapshots arrive.
        volume: Daily volume.
        gate: Long-term gate of the drift.
    """

    seed: Annotated[int, Field(ge=0)]
    first_day: date
    last_day: date
    history_days: Annotated[int, Field(ge=0)]
    cadence_seconds: Annotated[int, Field(ge=1)]
    near_levels: Annotated[int, Field(ge=1)]
    bin_upper_edges_bps: Annotated[tuple[Positive, ...], Field(min_length=1)]
    instruments: Annotated[tuple[PlantedInstrument, ...], Field(min_length=1)]
    drift: DriftParameters
    volatility_levels: Annotated[tuple[Positive, ...], Field(min_length=1)]
    books: PlantedBookParameters
    delivery: DeliveryParameters
    volume: VolumeParameters
    gate: GateParameters

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [instrument.name for instrument in self.instruments]
        if len(set(names)) != len(names):
            raise ValueError(f"instruments repeat a name: {names} -> give every instrument a name of its own")
        if self.first_day > self.last_day:
            raise ValueError(f"first_day {self.first_day} lies after last_day {self.last_day} -> swap them")
        if SECONDS_PER_DAY % self.cadence_seconds:
            raise ValueError(
                f"cadence_seconds {self.cadence_seconds} does not divide a day -> choose a divisor of {SECONDS_PER_DAY}"
            )
        if any(low >= high for low, high in pairwise(self.bin_upper_edges_bps)):
            raise ValueError(f"bin_upper_edges_bps must increase strictly, found {list(self.bin_upper_edges_bps)}")
        informative = sum(band.slots for band in self.books.bands)
        if informative > self.slots:
            raise ValueError(
                f"books.bands cover {informative} slots, but a snapshot has {self.slots} -> shorten a band"
            )
        least = self.near_levels + len(self.bin_upper_edges_bps)
        if self.books.levels < least:
            raise ValueError(f"books.levels {self.books.levels} leave a bin without a level -> at least {least}")
        if self.delivery.jitter_milliseconds >= 1000 * self.cadence_seconds:
            raise ValueError(
                f"delivery.jitter_milliseconds {self.delivery.jitter_milliseconds} reaches the previous instant"
                " -> shorten it"
            )
        return self

    @property
    def slots(self) -> int:
        """Slots of a side: near levels, then bins."""
        return self.near_levels + len(self.bin_upper_edges_bps)

    @property
    def steps_per_day(self) -> int:
        """Grid instants of a day."""
        return SECONDS_PER_DAY // self.cadence_seconds

    @property
    def step_minutes(self) -> float:
        """Length of a step in minutes."""
        return self.cadence_seconds / SECONDS_PER_MINUTE

    @property
    def history_first_day(self) -> date:
        """First day that exists at least as aggregates."""
        return self.first_day - timedelta(days=self.history_days)

    def volatility_level(self, day: date) -> float:
        """Prescribed volatility multiplier of a day, before or after `first_day`."""
        return self.volatility_levels[(day - self.first_day).days % len(self.volatility_levels)]
