"""Writes the lines of small captures."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from trademl_assets_tests.sources.events.evolutions import DAY, Levels

DAYS = {"first_day": DAY.isoformat(), "last_day": DAY.isoformat()}


def write_gzip(path: Path, lines: Iterable[str]) -> str:
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=1, mtime=0))
    return str(path)


def pairs(levels: Levels) -> list[list[str]]:
    return [[price, quantity] for price, quantity in levels.items()]
