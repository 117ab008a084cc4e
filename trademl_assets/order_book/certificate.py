"""What compression costs: the book before against the book after, over every snapshot of a day.

Cleaned rows and the snapshots made of them come in; the certificate goes beside the snapshots, and a check reads it.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from typing import Annotated, Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trademl_assets.foundation.calendar import day_bounds, from_microseconds, to_microseconds
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.certificate_pass import BIN_PRICE, FIXED, NEAR_PRICE, NEAR_QUANTITY, Tally, compare_block
from trademl_assets.order_book.compression import (
    BLOCK_SNAPSHOTS,
    CompressedDay,
    LevelBins,
    thread_count,
)
from trademl_assets.order_book.ordering import instants_us, rows_of_block, snapshot_offsets, sort_rows
from trademl_assets.sources.contract import SNAPSHOT_ARRAYS, TALL_SCHEMA, InstrumentParameters

Edge = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Maximum = Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


class CertificateParameters(Parameters):
    """What is measured of the loss, and how much of it is allowed.

    Attributes:
        depth_bands_bps: Distances from the mid within which the quantity of each side is compared.
        order_sizes: Sizes of market orders whose cost is compared, in reference quantities of the instrument.
        max_near_price_error_ticks: Worst allowed error of the price of a near level; null allows any.
        max_bin_price_error_ticks: Worst allowed distance of a level from the price of its bin; null allows any.
        max_depth_error_share: Largest allowed mean error of the quantity within a band, over that quantity; null allows
            any.
        max_cost_error_bps: Largest allowed mean error of the cost of an order; null allows any.
    """

    depth_bands_bps: Annotated[tuple[Edge, ...], Field(min_length=1)]
    order_sizes: Annotated[tuple[Edge, ...], Field(min_length=1)]
    max_near_price_error_ticks: Maximum
    max_bin_price_error_ticks: Maximum
    max_depth_error_share: Maximum
    max_cost_error_bps: Maximum

    @model_validator(mode="after")
    def _ascend(self) -> Self:
        for key in ("depth_bands_bps", "order_sizes"):
            values = getattr(self, key)
            if sorted(set(values)) != list(values):
                raise ValueError(f"{key} must ascend, found {list(values)}")
        return self

    def measured(self) -> str:
        """Fingerprint of what is measured, without what is allowed: that decides no content."""
        return f"{self.depth_bands_bps} {self.order_sizes}"


@dataclass(frozen=True)
class Error:
    """One kind of error over a day.

    Attributes:
        worst: Largest.
        worst_at: Instant of the largest, ISO text; None where no error is above 0.
        mean: Mean over the comparisons, weighted by quantity for prices.
        comparisons: How many there were.
        before: Mean of the value before compression, None for errors of prices.
        after: Mean of the value after it.
    """

    worst: float
    worst_at: str | None
    mean: float
    comparisons: int
    before: float | None = None
    after: float | None = None


@dataclass(frozen=True)
class Certificate:
    """What compression cost over a day, lead-in left out; both sides together.

    Attributes:
        near_price_ticks: Price of near levels, in ticks; what is left is the rounding of single precision.
        near_quantity_share: Quantity of near levels, over that quantity.
        bin_price_ticks: Distance of each binned level from its bin's price, in ticks.
        depth_share: By band in bps: error of the quantity within it, over that quantity; a bin counts where its price
            lies. `before` and `after` are mean quantities.
        cost_bps: By order size in reference quantities: error of the cost of a market order, in bps of the mid.
            `before` and `after` are mean costs.
        thin_before: By order size: books too thin for it before compression; they are not compared.
        thin_after: By order size: books deep enough before but not after, because depth was dropped.
        compression_ratio: Bytes of the rows over bytes of the snapshots, both as numbers in memory.
        snapshots: Snapshots compared.
    """

    near_price_ticks: Error
    near_quantity_share: Error
    bin_price_ticks: Error
    depth_share: dict[str, Error]
    cost_bps: dict[str, Error]
    thin_before: dict[str, int]
    thin_after: dict[str, int]
    compression_ratio: float
    snapshots: int

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Certificate":
        """Read what `as_dict` gave."""
        errors = {name: Error(**value[name]) for name in ("near_price_ticks", "near_quantity_share", "bin_price_ticks")}
        grouped = {
            name: {key: Error(**each) for key, each in value[name].items()} for name in ("depth_share", "cost_bps")
        }
        return cls(**{**value, **errors, **grouped})

    def numbers(self) -> dict[str, float]:
        """The numbers worth watching from day to day."""
        found = {
            "compression_ratio": self.compression_ratio,
            "worst_near_price_error_ticks": self.near_price_ticks.worst,
            "worst_bin_price_error_ticks": self.bin_price_ticks.worst,
            "mean_bin_price_error_ticks": self.bin_price_ticks.mean,
        }
        found |= {f"mean_depth_error_share_{band}_bps": error.mean for band, error in self.depth_share.items()}
        return found | {f"mean_cost_error_bps_size_{size}": error.mean for size, error in self.cost_bps.items()}


def certify_day(
    tall: pl.DataFrame,
    compressed: CompressedDay,
    instrument: InstrumentParameters,
    day: date,
    parameters: CertificateParameters,
) -> Certificate:
    """Compare every snapshot of a day before and after compression, in one pass over the rows.

    Args:
        tall: The rows that were compressed.
        compressed: What was made of them.
        instrument: Its tick and reference quantity are the units.
        day: The UTC day.
        parameters: What is measured.

    Returns:
        The certificate; without a snapshot on the day all errors are 0 from no comparison.

    Raises:
        DataQualityError: The snapshots are not those of the rows.
    """
    ordered, _ = sort_rows(tall)
    instants = instants_us(ordered)
    offsets = snapshot_offsets(instants)
    snapshots = compressed.snapshots
    if len(offsets) - 1 != snapshots.height or not (instants[offsets[:-1]] == instants_us(snapshots)).all():
        raise DataQualityError(
            f"{instrument.name} {day.isoformat()}: {len(offsets) - 1} snapshots in the rows, {snapshots.height} after "
            "compression -> certify the rows that were compressed"
        )
    begin = int(np.searchsorted(instants_us(snapshots), to_microseconds(day_bounds(day)[0])))
    depth, compression = compressed.kept_depth, compressed.parameters
    kept = (
        compression.near_market_levels,
        (np.iinfo(np.int64).max,) * 2 if depth is None else (depth.bid, depth.ask),
        np.asarray(compression.bins.edges, dtype=np.float64),
        isinstance(compression.bins, LevelBins),
    )
    bands = np.asarray(parameters.depth_bands_bps, dtype=np.float64)
    sizes = np.asarray(parameters.order_sizes, dtype=np.float64) * instrument.reference_quantity
    after = (_readable(snapshots["mid"]), tuple(_readable(snapshots[name]) for name in SNAPSHOT_ARRAYS))

    def compare(first: int) -> Tally:
        block = (first, min(first + BLOCK_SNAPSHOTS, snapshots.height))
        return compare_block(
            block, rows_of_block(ordered, offsets, block), after, kept, (instrument.tick_size, bands, sizes)
        )

    with ThreadPoolExecutor(thread_count()) as pool:
        blocks = pool.map(compare, range(begin, snapshots.height, BLOCK_SNAPSHOTS))
        tally = Tally.sum(blocks, len(bands), len(sizes))
    return _certificate(tally, snapshots, parameters, tall.height, snapshots.height - begin)


def certificate_problem(certificate: Certificate, parameters: CertificateParameters) -> str:
    """Tell what is beyond the configured maxima, empty where nothing is."""
    limits: tuple[tuple[str, float, float | None, str], ...] = (
        (
            "price of a near level off by",
            certificate.near_price_ticks.worst,
            parameters.max_near_price_error_ticks,
            "ticks",
        ),
        (
            "level off its bin's price by",
            certificate.bin_price_ticks.worst,
            parameters.max_bin_price_error_ticks,
            "ticks",
        ),
        *(
            (f"depth within {band} bps off by", error.mean, parameters.max_depth_error_share, "of it on average")
            for band, error in certificate.depth_share.items()
        ),
        *(
            (f"cost of an order of {size} off by", error.mean, parameters.max_cost_error_bps, "bps on average")
            for size, error in certificate.cost_bps.items()
        ),
    )
    return "; ".join(
        f"{what} {found:.4g} {unit}, at most {limit:.4g} allowed"
        for what, found, limit, unit in limits
        if limit is not None and found > limit
    )


def _certificate(
    tally: Tally, snapshots: pl.DataFrame, parameters: CertificateParameters, rows: int, compared: int
) -> Certificate:
    instants = instants_us(snapshots)
    bands = len(parameters.depth_bands_bps)

    def error(place: int, *, valued: bool) -> Error:
        count, weight = int(tally.count[place]), tally.weight[place]
        return Error(
            worst=float(tally.worst[place]),
            worst_at=from_microseconds(int(instants[tally.worst_at[place]])).isoformat()
            if tally.worst[place] > 0
            else None,
            mean=float(tally.total[place] / weight) if weight > 0 else 0.0,
            comparisons=count,
            before=float(tally.before[place] / count) if valued and count else None,
            after=float(tally.after[place] / count) if valued and count else None,
        )

    band_names = [f"{band:g}" for band in parameters.depth_bands_bps]
    size_names = [f"{size:g}" for size in parameters.order_sizes]
    return Certificate(
        near_price_ticks=error(NEAR_PRICE, valued=False),
        near_quantity_share=error(NEAR_QUANTITY, valued=False),
        bin_price_ticks=error(BIN_PRICE, valued=False),
        depth_share={name: error(FIXED + n, valued=True) for n, name in enumerate(band_names)},
        cost_bps={name: error(FIXED + bands + n, valued=True) for n, name in enumerate(size_names)},
        thin_before={name: int(tally.thin[0, n]) for n, name in enumerate(size_names)},
        thin_after={name: int(tally.thin[1, n]) for n, name in enumerate(size_names)},
        compression_ratio=_ratio(rows, snapshots),
        snapshots=compared,
    )


def _ratio(rows: int, snapshots: pl.DataFrame) -> float:
    row_bytes = sum(_width(kind) for kind in TALL_SCHEMA.values())
    snapshot_bytes = sum(_width(kind) for kind in snapshots.schema.values()) * snapshots.height
    return row_bytes * rows / snapshot_bytes if snapshot_bytes else 0.0


def _width(kind: Any) -> int:
    """Bytes of a value."""
    if isinstance(kind, pl.Array):
        return int(np.prod(kind.shape)) * _width(kind.inner)
    return {pl.Float64: 8, pl.Int64: 8, pl.Int32: 4, pl.Float32: 4, pl.Boolean: 1}.get(type(kind), 8)


def _readable(column: pl.Series) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy().view()
    values.flags.writeable = False
    return values
