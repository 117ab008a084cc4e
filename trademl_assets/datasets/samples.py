"""One sample of a dataset as a notebook holds it: the windows of all streams, its label and its span."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.foundation.errors import ConfigError

if TYPE_CHECKING:
    from trademl_assets.datasets.windows import Dataset

_SHOWN = 3


@dataclass(frozen=True)
class Sample:
    """A decision, what was known at it, and what came of it.

    Attributes:
        row: Position in the dataset's index.
        instrument: The labelled instrument.
        t0: Instant of the decision, UTC.
        t1: End of its label, UTC.
        label: Class of the outcome.
        windows: By stream (look-back, *shape of a step), the last row known at t0; shorter where the dataset begins
            within the look-back. long_term: the days before, oldest first.
        is_scaled: Whether the windows are scaled float32 or as stored.
        facts: The sample's row of the index.
    """

    row: int
    instrument: str
    t0: datetime
    t1: datetime
    label: int
    windows: Mapping[str, NDArray[Any]]
    is_scaled: bool
    facts: Mapping[str, Any]

    def as_sequence(self, sequence: str, indicators: str | None = None) -> dict[str, Any]:
        """Return `{sequence, indicators, target}` as models of candles read it.

        Args:
            sequence: Stream whose window is the sequence, for example `bars`.
            indicators: Stream whose last row are the indicators; None: an empty row.

        Raises:
            ConfigError: There is no such stream.
        """
        last = np.empty(0, np.float32) if indicators is None else self._window(indicators)[-1]
        return {"sequence": self._window(sequence), "indicators": last, "target": self.label}

    def _window(self, stream: str) -> NDArray[Any]:
        if stream not in self.windows:
            raise ConfigError(f"the sample has no stream {stream!r} -> one of {', '.join(self.windows)}")
        return self.windows[stream]


def sample_of_row(dataset: "Dataset", row: int, *, scaled: bool) -> Sample:
    """Gather the sample of a row of the index."""
    facts = dataset.index.row(row, named=True)
    windows = {}
    for stream in dataset.streams:
        last = int(dataset.window_ends(stream, np.array([facts["step"]]))[0])
        length = min(dataset.lookback_steps(stream), last)
        window = np.empty((length, *dataset.step_shape(stream)), dataset.dtype(stream))
        dataset.stored.copy(stream, last - length, last, window)
        windows[stream] = dataset.scaling(stream).apply(window) if scaled else window
    return Sample(row, facts["instrument"], facts["t0"], facts["t1"], facts["label"], windows, scaled, facts)


def find_sample(
    experiment: str, index: pl.DataFrame, t: datetime | str, instrument: str | None, horizon_seconds: int | None
) -> int:
    """Return the row of the index decided at `t`, for an instrument and a horizon where the dataset has several.

    Raises:
        ConfigError: There is none, or more than one.
    """
    instant = _instant(t)
    wanted = pl.lit(True)
    if instrument is not None:
        wanted &= pl.col("instrument") == instrument
    if horizon_seconds is not None:
        wanted &= pl.col("horizon_seconds") == horizon_seconds
    candidates = index.with_row_index("row").filter(wanted)
    found = candidates.filter(pl.col("t0") == instant)
    if found.height == 1:
        return int(found["row"][0])
    if found.height:
        raise ConfigError(
            f"dataset {experiment!r} has {found.height} samples at {instant.isoformat()} -> name its instrument, of "
            f"{found['instrument'].unique().sort().to_list()}, and horizon_seconds where it has several"
        )
    apart = (pl.col("t0") - instant).abs()
    nearest = candidates.sort(apart, maintain_order=True)["t0"].head(_SHOWN).to_list()
    raise ConfigError(
        f"dataset {experiment!r} has no sample decided at {instant.isoformat()} -> the nearest are "
        f"{', '.join(each.isoformat() for each in nearest) or 'none at all'}"
    )


def _instant(t: datetime | str) -> datetime:
    try:
        instant = t if isinstance(t, datetime) else datetime.fromisoformat(t)
    except ValueError as error:
        raise ConfigError(f"{t!r} is no instant -> write it as 2024-01-31T12:30:00") from error
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
