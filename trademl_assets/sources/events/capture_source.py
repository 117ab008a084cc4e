"""What every kind of event source shares: captures of instruments become tall rows and facts."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import polars as pl
from pydantic import Field, model_validator

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, to_microseconds
from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.capped_reading import ReadingCaps
from trademl_assets.sources.contract import InstrumentParameters
from trademl_assets.sources.events.book_sampling import BookSampler
from trademl_assets.sources.events.capture_clock import CaptureClock
from trademl_assets.sources.events.continuity import SequenceRule
from trademl_assets.sources.events.messages import Message
from trademl_assets.sources.events.price_keys import MOST_DECIMALS, PriceKeys
from trademl_assets.sources.events.replay import BeginPolicy, Replay

MICROSECONDS_PER_MILLISECOND = 1_000
SECONDS_PER_DAY = 86_400


class CaptureDays(Parameters):
    """What every capture tells.

    Attributes:
        first_day: First UTC day that the messages touch.
        last_day: Last UTC day that they touch; a message outside these days is refused (a wrong clock or unit of time).
    """

    first_day: date
    last_day: date

    @model_validator(mode="after")
    def _in_order(self) -> "CaptureDays":
        if self.first_day > self.last_day:
            raise ValueError(f"first_day {self.first_day} lies after last_day {self.last_day}")
        return self

    def span_us(self) -> tuple[int, int]:
        """First instant of the days and first instant after them, microseconds."""
        return to_microseconds(day_bounds(self.first_day)[0]), to_microseconds(day_bounds(self.last_day)[1])


class SamplingParameters(Parameters):
    """How a moving book is looked at, and how much is read.

    Attributes:
        snapshot_cadence_seconds: Distance of the instants at which a book is looked at; divides a day.
        max_levels: Most levels a side.
        max_silence_seconds: An instant is left out when the latest depth message is older than this.
        max_clock_regress_milliseconds: Furthest that the clock of the messages may step back; less is read as
            standing still.
        price_decimals: Most decimals of a price; prices are kept exactly as integers of this unit, below 2**63.
        max_file_bytes: Larger files are refused, counted after decompression.
        max_message_bytes: Longer lines are refused.
    """

    snapshot_cadence_seconds: Annotated[int, Field(ge=1, le=SECONDS_PER_DAY)]
    max_levels: Annotated[int, Field(ge=1)]
    max_silence_seconds: Annotated[int, Field(ge=1)]
    max_clock_regress_milliseconds: Annotated[int, Field(ge=0)]
    price_decimals: Annotated[int, Field(ge=0, le=MOST_DECIMALS)]
    max_file_bytes: Annotated[int, Field(ge=1)]
    max_message_bytes: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _cadence_divides_a_day(self) -> "SamplingParameters":
        if SECONDS_PER_DAY % self.snapshot_cadence_seconds:
            raise ValueError(f"snapshot_cadence_seconds {self.snapshot_cadence_seconds} does not divide a day evenly")
        return self

    @property
    def caps(self) -> ReadingCaps:
        """Most that is read."""
        return ReadingCaps(self.max_file_bytes, self.max_message_bytes)


class DiffParameters(SamplingParameters):
    """How books of diffs begin and go on.

    Attributes:
        without_initial_book: `refuse` a capture without an initial book, or `warm_up`: begin with an empty book that
            the diffs fill. Levels that no diff touches stay unknown.
        warm_up_seconds: How long an empty book fills before it is handed out.
        on_gap: `refuse` a capture whose chain breaks, or `restart` from its next initial book (from an empty one under
            `warm_up`); instants between are left out and counted.
        max_diffs_before_book: Most diffs that may come before the initial book.
    """

    without_initial_book: Literal["refuse", "warm_up"]
    warm_up_seconds: Annotated[int, Field(ge=0)]
    on_gap: Literal["refuse", "restart"]
    max_diffs_before_book: Annotated[int, Field(ge=0)]

    @property
    def policy(self) -> BeginPolicy:
        """What happens where a book is unknown."""
        return BeginPolicy(
            self.without_initial_book,
            self.warm_up_seconds * MICROSECONDS_PER_SECOND,
            self.on_gap,
            self.max_diffs_before_book,
        )


@dataclass(frozen=True)
class Reading:
    """Who reads for whom.

    Attributes:
        instrument: Instrument that is asked for.
        title: Instrument and day, for messages.
        caps: Most that is read.
        notes: Facts that a format adds while it reads; one capture each.
    """

    instrument: InstrumentParameters
    title: str
    caps: ReadingCaps
    notes: dict[str, Any] = field(default_factory=dict)

    def origin(self, path: str) -> str:
        """Instrument, day and file, for messages."""
        return f"{self.title}, file {path}"


C = TypeVar("C", bound=CaptureDays)


class CaptureSource(ABC, Generic[C]):
    """Books rebuilt from captures, looked at at every instant k * cadence since midnight UTC.

    The state at an instant holds every message with a clock <= the instant.

    Args:
        settings: How books are looked at.
        captures: Captures of each instrument in the order of time.
        policy: What happens where a book is unknown.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A capture is given for an instrument that is not configured.
    """

    def __init__(
        self,
        settings: SamplingParameters,
        captures: Mapping[str, Sequence[C]],
        policy: BeginPolicy,
        instruments: Mapping[str, InstrumentParameters],
    ) -> None:
        if unknown := sorted(set(captures) - set(instruments)):
            raise ConfigError(
                f"captures are given for unknown instruments {', '.join(unknown)}; "
                f"configured are {', '.join(instruments)}"
            )
        self._settings = settings
        self._captures = captures
        self._policy = policy

    @abstractmethod
    def files(self, capture: C) -> tuple[EnvironmentText, ...]:
        """Files of a capture, the one that holds its changes first."""

    @abstractmethod
    def rule(self, instrument: InstrumentParameters, capture: C) -> SequenceRule:
        """How the messages of a capture follow one another."""

    @abstractmethod
    def messages(self, reading: Reading, capture: C) -> Iterator[Message]:
        """Messages of a capture in the order of its clock.

        Raises:
            SourceError: A file cannot be read, is not in its layout, or speaks of another symbol.
        """

    def extract(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """States of the book within [start of `day` - `lead_in_seconds`, end of `day`).

        Returns:
            Rows of `TALL_SCHEMA`; `batch_id` is the last sequence number contained in the state.

        Raises:
            SequenceGapError: Messages are missing; names the sequence numbers and the place.
            SourceError: No capture, no instant on the day itself, or input that cannot be trusted; names instrument,
                day and file.
        """
        return self.extract_described(instrument, day, lead_in_seconds)[0]

    def extract_described(
        self, instrument: InstrumentParameters, day: date, lead_in_seconds: int
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Rows as `extract`, and for each capture its files with sha256, what was met, and how its books began."""
        title = f"{instrument.name} on {day}"
        start_us, end_us = (to_microseconds(bound) for bound in day_bounds(day))
        first_us = start_us - lead_in_seconds * MICROSECONDS_PER_SECOND
        captures = [
            capture
            for capture in self._captures.get(instrument.name, ())
            if capture.span_us()[0] < end_us and first_us < capture.span_us()[1]
        ]
        if not captures:
            raise SourceError(f"{title}: no capture covers the day -> add one under captures, or leave the day out")
        parts = [
            self._play(capture, Reading(instrument, title, self._settings.caps), first_us, end_us)
            for capture in captures
        ]
        frames = [frame for frame, _ in parts if not frame.is_empty()]
        for earlier, later in pairwise(frames):
            if earlier["ts"][-1] >= later["ts"][0]:
                raise SourceError(
                    f"{title}: one capture reaches until {earlier['ts'][-1]}, the next begins at {later['ts'][0]} "
                    "-> list captures in the order of time and cut them apart"
                )
        if not frames or frames[-1]["ts"][-1] < day_bounds(day)[0]:
            raise SourceError(
                f"{title}: no instant of the day (one every {self._settings.snapshot_cadence_seconds} s) is covered by "
                f"{', '.join(self.files(capture)[0] for capture in captures)} -> check their days, or leave the day out"
            )
        return pl.concat(frames), {"captures": [facts for _, facts in parts]}

    def _play(self, capture: C, reading: Reading, first_us: int, end_us: int) -> tuple[pl.DataFrame, dict[str, Any]]:
        settings = self._settings
        keys = PriceKeys(settings.price_decimals)
        sampler = BookSampler(
            cadence_us=settings.snapshot_cadence_seconds * MICROSECONDS_PER_SECOND,
            max_levels=settings.max_levels,
            first_us=first_us,
            end_us=end_us,
            max_silence_us=settings.max_silence_seconds * MICROSECONDS_PER_SECOND,
            keys=keys,
        )
        regress_us = settings.max_clock_regress_milliseconds * MICROSECONDS_PER_MILLISECOND
        files = self.files(capture)
        replay = Replay(
            self.rule(reading.instrument, capture),
            CaptureClock(*capture.span_us(), regress_us),
            sampler,
            keys,
            self._policy,
            end_us=end_us,
            origin=reading.origin(files[0]),
        )
        replay.run(self.messages(reading, capture))
        rows = sampler.tall_rows()
        facts = {
            "files": [_described(file, reading) for file in files],
            **replay.facts.counts,
            "gap_places": [_shortened(gap, reading, files) for gap in replay.facts.gaps],
            "beginnings": [
                {**how, "place": _shortened(how["place"], reading, files)} for how in replay.facts.beginnings
            ],
            "instants": rows["ts"].n_unique(),
            "instants_left_out": dict(sorted(sampler.left_out.items())),
            **reading.notes,
        }
        return rows, facts


def _described(file: EnvironmentText, reading: Reading) -> dict[str, Any]:
    try:
        with Path(file).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return {"file": file.reference, "sha256": digest, "bytes": stream.tell()}
    except OSError as error:
        reason = error.strerror or error
        raise SourceError(f"{reading.origin(file)}: cannot be read ({reason}) -> check the path") from error


def _shortened(place: str, reading: Reading, files: Sequence[EnvironmentText]) -> str:
    """A place without the instrument and day, which are known, and with paths as they were configured."""
    for file in files:
        place = place.replace(str(file), file.reference)
    return place.removeprefix(f"{reading.title}, ")
