"""Source kind `binance_capture`: order books rebuilt from captured Binance messages, handed out as tall rows."""

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Annotated

import polars as pl
from pydantic import Field, model_validator

from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND, day_bounds, to_microseconds
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.sources.binance_captures import (
    Capture,
    CaptureDays,
    CaptureReader,
    CombinedStreamCapture,
    MessageListCapture,
)
from trademl_assets.sources.book_sampling import BookSampler
from trademl_assets.sources.capped_reading import ReadingCaps
from trademl_assets.sources.capture_replay import CaptureClock, replay
from trademl_assets.sources.contract import SOURCES, InstrumentParameters

MICROSECONDS_PER_MILLISECOND = 1_000
SECONDS_PER_DAY = 86_400


class BinanceCaptureParameters(Parameters):
    """Parameters of `binance_capture`.

    Attributes:
        snapshot_cadence_seconds: Distance of the instants at which a book is looked at; divides a day.
        max_levels: Most levels a side.
        max_silence_seconds: An instant is left out when the latest depth message is older than this.
        max_clock_regress_milliseconds: Furthest that the clock of the messages may step back; less is read as
            standing still.
        max_diffs_before_book: Most diffs that may come before the initial book.
        max_file_bytes: Larger files are refused, counted after decompression.
        max_message_bytes: Longer lines are refused.
        captures: Captures of each instrument in the order of time; each has an initial book of its own.
    """

    snapshot_cadence_seconds: Annotated[int, Field(ge=1, le=SECONDS_PER_DAY)]
    max_levels: Annotated[int, Field(ge=1)]
    max_silence_seconds: Annotated[int, Field(ge=1)]
    max_clock_regress_milliseconds: Annotated[int, Field(ge=0)]
    max_diffs_before_book: Annotated[int, Field(ge=0)]
    max_file_bytes: Annotated[int, Field(ge=1)]
    max_message_bytes: Annotated[int, Field(ge=1)]
    captures: dict[str, Annotated[tuple[Capture, ...], Field(min_length=1)]]

    @model_validator(mode="after")
    def _cadence_divides_a_day(self) -> "BinanceCaptureParameters":
        if SECONDS_PER_DAY % self.snapshot_cadence_seconds:
            raise ValueError(f"snapshot_cadence_seconds {self.snapshot_cadence_seconds} does not divide a day evenly")
        return self


@SOURCES.register("binance_capture")
class BinanceCaptureSource:
    """Books rebuilt from captures, looked at at every instant k * cadence since midnight UTC.

    The state at an instant holds every message with a clock <= the instant. A book is known from the receive time of
    its REST answer; where nobody wrote that down, from the last diff that the answer already contains (else from the
    first diff applied). The REST answer covers a limited number of levels: a level outside them is known only once a
    diff has touched it.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A capture is given for an instrument that is not configured.
    """

    parameters = BinanceCaptureParameters

    def __init__(self, parameters: BinanceCaptureParameters, instruments: Mapping[str, InstrumentParameters]) -> None:
        if unknown := sorted(set(parameters.captures) - set(instruments)):
            raise ConfigError(
                f"captures are given for unknown instruments {', '.join(unknown)}; "
                f"configured are {', '.join(instruments)}"
            )
        self._settings = parameters

    def extract(self, instrument: InstrumentParameters, day: date, lead_in_seconds: int) -> pl.DataFrame:
        """States of the book within [start of `day` - `lead_in_seconds`, end of `day`).

        Returns:
            Rows of `TALL_SCHEMA`; `batch_id` is the venue's last update id contained in the state.

        Raises:
            SequenceGapError: Messages are missing; names the sequence numbers and the place.
            SourceError: No capture, no instant on the day itself, or input that cannot be trusted; names instrument,
                day and file.
        """
        title = f"{instrument.name} on {day}"
        start_us, end_us = (to_microseconds(bound) for bound in day_bounds(day))
        first_us = start_us - lead_in_seconds * MICROSECONDS_PER_SECOND
        captures = [
            capture
            for capture in self._settings.captures.get(instrument.name, ())
            if _overlaps(capture, first_us, end_us)
        ]
        if not captures:
            raise SourceError(f"{title}: no capture covers the day -> add one under captures, or leave the day out")
        reader = CaptureReader(
            instrument.symbol, title, ReadingCaps(self._settings.max_file_bytes, self._settings.max_message_bytes)
        )
        frames = [self._states(capture, instrument, reader, first_us, end_us) for capture in captures]
        frames = [frame for frame in frames if not frame.is_empty()]
        for earlier, later in pairwise(frames):
            if earlier["ts"][-1] >= later["ts"][0]:
                raise SourceError(
                    f"{title}: one capture reaches until {earlier['ts'][-1]}, the next begins at {later['ts'][0]} "
                    "-> list captures in the order of time and cut them apart"
                )
        if not frames or frames[-1]["ts"][-1] < day_bounds(day)[0]:
            raise SourceError(
                f"{title}: no instant of the day (one every {self._settings.snapshot_cadence_seconds} s) is covered by "
                f"{', '.join(_file(capture) for capture in captures)} -> check their days, or leave the day out"
            )
        return pl.concat(frames)

    def _states(
        self,
        capture: MessageListCapture | CombinedStreamCapture,
        instrument: InstrumentParameters,
        reader: CaptureReader,
        first_us: int,
        end_us: int,
    ) -> pl.DataFrame:
        settings = self._settings
        sampler = BookSampler(
            cadence_us=settings.snapshot_cadence_seconds * MICROSECONDS_PER_SECOND,
            max_levels=settings.max_levels,
            first_us=first_us,
            end_us=end_us,
            max_silence_us=settings.max_silence_seconds * MICROSECONDS_PER_SECOND,
        )
        regress_us = settings.max_clock_regress_milliseconds * MICROSECONDS_PER_MILLISECOND
        replay(
            reader.messages(capture),
            instrument.market,
            CaptureClock(*_span(capture), regress_us),
            sampler,
            end_us=end_us,
            max_diffs_before_book=settings.max_diffs_before_book,
            origin=reader.origin(_file(capture)),
        )
        return sampler.tall_rows()


def _file(capture: MessageListCapture | CombinedStreamCapture) -> str:
    return capture.diffs if isinstance(capture, MessageListCapture) else capture.messages


def _span(capture: CaptureDays) -> tuple[int, int]:
    return to_microseconds(day_bounds(capture.first_day)[0]), to_microseconds(day_bounds(capture.last_day)[1])


def _overlaps(capture: CaptureDays, first_us: int, end_us: int) -> bool:
    begins_us, ends_us = _span(capture)
    return begins_us < end_us and first_us < ends_us
