"""Small captures of Binance messages, made for the tests of the book."""

import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.sources.contract import InstrumentParameters
from trademl_assets.sources.events.binance_capture import BinanceCaptureParameters, BinanceCaptureSource

DAY = date(2024, 3, 5)
DAY_US = to_microseconds(day_start(DAY))
LIMITS: dict[str, Any] = {
    "max_levels": 5,
    "max_silence_seconds": 60,
    "max_clock_regress_milliseconds": 0,
    "price_decimals": 8,
    "without_initial_book": "refuse",
    "warm_up_seconds": 0,
    "on_gap": "refuse",
    "max_diffs_before_book": 10,
    "max_file_bytes": 1_000_000,
    "max_message_bytes": 100_000,
}


def instrument(name: str = "ABC", market: str = "spot", symbol: str = "ABCUSDT") -> InstrumentParameters:
    return InstrumentParameters.model_validate(
        {
            "name": name,
            "venue": "binance",
            "market": market,
            "symbol": symbol,
            "tick_size": 0.01,
            "reference_quantity": 1.0,
        }
    )


def answer(last_update_id: int, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {"lastUpdateId": last_update_id, "bids": bids, "asks": asks}


def diff(
    second: float,
    first: int,
    last: int,
    *,
    bids: Sequence[tuple[str, str]] = (),
    asks: Sequence[tuple[str, str]] = (),
    previous: int | None = None,
    symbol: str = "ABCUSDT",
) -> dict[str, Any]:
    """A depthUpdate message `second` seconds after the day's midnight."""
    message = {"e": "depthUpdate", "E": DAY_US // 1000 + int(second * 1000), "s": symbol, "U": first, "u": last}
    if previous is not None:
        message["pu"] = previous
    return {**message, "b": list(bids), "a": list(asks)}


def line(second: float, message: dict[str, Any]) -> str:
    """A line of a combined-stream capture received `second` seconds after the day's midnight."""
    if "lastUpdateId" not in message:
        message = {"stream": "abcusdt@depth", "data": message}
    return f"{DAY_US * 1000 + round(second * 1e9)} {json.dumps(message)}"


def write_lines(path: Path, lines: Iterable[str]) -> dict[str, Any]:
    """Write a combined-stream capture; returns its configuration."""
    path.write_bytes(gzip.compress("".join(f"{text}\n" for text in lines).encode()))
    return stream_capture(path)


def stream_capture(path: Path, day: date = DAY) -> dict[str, Any]:
    days = {"first_day": day.isoformat(), "last_day": day.isoformat()}
    return {"layout": "combined_stream", **days, "messages": str(path)}


def write_list(folder: Path, initial: dict[str, Any], diffs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Write a message-list capture; returns its configuration."""
    (folder / "book.json.gz").write_bytes(gzip.compress(json.dumps(initial).encode()))
    (folder / "diffs.json.gz").write_bytes(gzip.compress(json.dumps(diffs).encode()))
    return list_capture(folder / "book.json.gz", folder / "diffs.json.gz")


def list_capture(initial: Path, diffs: Path, day: date = DAY) -> dict[str, Any]:
    days = {"first_day": day.isoformat(), "last_day": day.isoformat()}
    return {"layout": "message_list", **days, "initial_book": str(initial), "diffs": str(diffs)}


def source(
    of: InstrumentParameters, *captures: dict[str, Any], cadence_seconds: int = 1, **limits: Any
) -> BinanceCaptureSource:
    settings = {
        **LIMITS,
        **limits,
        "snapshot_cadence_seconds": cadence_seconds,
        "captures": {of.name: captures},
    }
    parameters = BinanceCaptureParameters.model_validate_json(json.dumps(settings))
    return BinanceCaptureSource(parameters, {of.name: of})
