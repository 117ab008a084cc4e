"""Which files a day's books lie in, their identity, and the parameters that all importers share."""

import glob
import hashlib
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.calendar import days_between
from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import SourceError
from trademl_assets.foundation.input_files import note_input
from trademl_assets.foundation.parameters import Parameters

SECONDS_PER_DAY = 86_400
DAY_PLACEHOLDER = re.compile(r"\{day(?::([^{}]+))?\}")
ISO_DAY = "%Y-%m-%d"
CHECKSUM_SUFFIXES = (".CHECKSUM", ".sha256")
_GLOB = re.compile(r"[*?\[]")
_SHA256 = re.compile(r"\b[0-9a-fA-F]{64}\b")


class BookFiles(Parameters):
    """Which files are read, how much of them, and which of their books are kept.

    Attributes:
        files: Path for each instrument: a file, a folder, or a pattern with `*`; `{day}` in it stands for a day as
            2024-01-31 and `{day:%Y%m%d}` for 20240131; without it the files hold all days.
        equal: For each instrument, columns and the text they must equal, where a file holds several instruments.
        snapshot_cadence_seconds: Distance of the instants at which books are looked at, divides a day; null keeps
            every book.
        max_silence_seconds: An instant is left out when the latest book is older than this; null where every book is
            kept.
        max_out_of_order_share: Greatest share of rows that may come after a later one; they are sorted and counted.
        missing_texts: Texts that stand for a missing value in CSV, besides the empty cell.
        max_rows: Files that declare more rows are refused.
        max_file_bytes: Files that declare more bytes after decompression are refused.
        max_compression_ratio: Compressed text files that declare more bytes for each of theirs are refused.
    """

    files: dict[str, EnvironmentText]
    equal: dict[str, dict[str, str]]
    snapshot_cadence_seconds: Annotated[int, Field(ge=1, le=SECONDS_PER_DAY)] | None
    max_silence_seconds: Annotated[int, Field(ge=1)] | None
    max_out_of_order_share: Annotated[float, Field(ge=0, le=1)]
    missing_texts: tuple[str, ...]
    max_rows: Annotated[int, Field(ge=1)]
    max_file_bytes: Annotated[int, Field(ge=1)]
    max_compression_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _cadence_and_silence_belong_together(self) -> Self:
        if (self.snapshot_cadence_seconds is None) != (self.max_silence_seconds is None):
            raise ValueError("snapshot_cadence_seconds and max_silence_seconds belong together -> both or neither null")
        if self.snapshot_cadence_seconds and SECONDS_PER_DAY % self.snapshot_cadence_seconds:
            raise ValueError(f"snapshot_cadence_seconds {self.snapshot_cadence_seconds} does not divide a day evenly")
        return self


def files_of_days(
    text: str, first: date, last: date, required: tuple[date, ...], title: str
) -> list[tuple[Path, date | None]]:
    """Files that hold the days from `first` to `last`, each with the day in its name.

    Args:
        text: The configured path.
        first: First day, in the zone in which the files are cut.
        last: Last day.
        required: Days of which at least one must have a file.
        title: Instrument and day, for messages.

    Returns:
        Files in the order of days, then names; the day is None where the path names none.

    Raises:
        SourceError: No file.
    """
    if not DAY_PLACEHOLDER.search(text):
        if not (files := _matching(text)):
            raise SourceError(f"{title}, file {text}: there is none -> check the path")
        return [(file, None) for file in files]
    by_day = {day: _matching(_on(text, day)) for day in days_between(first, last)}
    if not any(by_day[day] for day in required):
        raise SourceError(
            f"{title}, file {_on(text, required[-1])}: there is none -> check the path, or leave the day out"
        )
    return [(file, day) for day, files in by_day.items() for file in files]


def verified_sha256(file: Path, origin: str) -> str:
    """The sha256 (hex) of a file, compared with the one in a checksum file beside it where there is one.

    Raises:
        SourceError: The file cannot be read, or is not the one that was published.
    """
    note_input(file)
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        for beside in (file.with_name(file.name + suffix) for suffix in CHECKSUM_SUFFIXES):
            if not beside.is_file():
                continue
            stated = _SHA256.search(beside.read_text("ascii", "replace"))
            if stated is None or stated.group().lower() != found:
                raise SourceError(
                    f"{origin}: sha256 is {found}, {beside.name} states {stated and stated.group()} "
                    "-> fetch the file again"
                )
    except OSError as error:
        reason = error.strerror or error
        raise SourceError(f"{origin}: cannot be read ({reason}) -> check the path and its rights") from error
    return found


def _on(text: str, day: date) -> str:
    return DAY_PLACEHOLDER.sub(lambda match: day.strftime(match.group(1) or ISO_DAY), text)


def _matching(text: str) -> list[Path]:
    path = Path(text)
    if path.is_file():
        return [path]
    found = path.iterdir() if path.is_dir() else map(Path, glob.glob(text)) if _GLOB.search(text) else ()  # noqa: PTH207 -- the pattern may begin at any folder
    return sorted(
        file
        for file in found
        if file.is_file() and not file.name.startswith(".") and not file.name.endswith(CHECKSUM_SUFFIXES)
    )
