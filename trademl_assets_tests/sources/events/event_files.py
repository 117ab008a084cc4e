"""Writes an evolution as a capture of every format and reads it back."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

import trademl_assets.sources.market  # noqa: F401 -- registers the kinds
from trademl_assets.foundation.calendar import day_start
from trademl_assets.foundation.input_files import noting_inputs
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets_tests.sources.events.cryptofeed_files import bybit, coinbase, kraken, okx
from trademl_assets_tests.sources.events.evolutions import DAY, DAY_MS, Book, Evolution, Levels, Update
from trademl_assets_tests.sources.events.written_lines import DAYS, pairs, write_gzip

COMMON: dict[str, Any] = {
    "snapshot_cadence_seconds": 1,
    "max_levels": 100,
    "max_silence_seconds": 60,
    "max_clock_regress_milliseconds": 0,
    "price_decimals": 8,
    "max_file_bytes": 1_000_000,
    "max_message_bytes": 100_000,
}
DIFFS: dict[str, Any] = {
    "without_initial_book": "refuse",
    "warm_up_seconds": 0,
    "on_gap": "refuse",
    "max_diffs_before_book": 100,
}
ORDERS: dict[str, Any] = {"initial_orders": "warm_up", "warm_up_seconds": 0, "max_rows": 100_000}


def instrument(market: str = "spot", symbol: str = "ABCUSDT") -> InstrumentParameters:
    return InstrumentParameters.model_validate(
        {
            "name": "ABC",
            "venue": "venue",
            "market": market,
            "symbol": symbol,
            "tick_size": 0.01,
            "reference_quantity": 1.0,
        }
    )


def build(kind: str, of: InstrumentParameters, *captures: Mapping[str, Any], **overrides: Any) -> Any:
    settings = {**COMMON, **(ORDERS if kind == "order_events" else DIFFS), **overrides}
    plugin = SOURCES.get(kind)
    text = json.dumps({**settings, "captures": {of.name: captures}})
    return plugin(plugin.parameters.model_validate_json(text), {of.name: of})


def books_of(tall: pl.DataFrame) -> dict[int, Book]:
    """Books of tall rows by the second of the day."""
    books: dict[int, Book] = {}
    for (ts,), rows in tall.group_by("ts", maintain_order=True):
        assert hasattr(ts, "tzinfo")
        second = round((ts - day_start(DAY)).total_seconds())
        bids, asks = (rows.select(f"{side}_price", f"{side}_quantity").drop_nulls().rows() for side in ("bid", "ask"))
        books[second] = (bids, asks)
    return books


def binance_diff(update: Update, *, futures: bool) -> dict[str, Any]:
    message = {"e": "depthUpdate", "E": DAY_MS + update.time_ms, "s": "ABCUSDT", "U": update.first, "u": update.last}
    if futures:
        message["pu"] = update.previous
    return {**message, "b": pairs(update.bids), "a": pairs(update.asks)}


def binance_answer(update: Update) -> dict[str, Any]:
    return {"lastUpdateId": update.last, "bids": pairs(update.bids_after), "asks": pairs(update.asks_after)}


def binance_before(evolution: Evolution) -> Update:
    """The last message that the answer contains already; futures want to see it."""
    return Update(evolution.start.time_ms, evolution.start.last, evolution.start.last, 0, {}, {}, {}, {})


def stream_line(update: Update, message: Any) -> str:
    return f"{(DAY_MS + update.time_ms) * 1_000_000} {json.dumps(message)}"


def binance_stream(
    folder: Path, evolution: Evolution, *, futures: bool = False, answered: Update | None = None
) -> dict[str, Any]:
    """A combined stream; `answered` is followed by one more REST answer."""
    lines = [stream_line(evolution.start, binance_answer(evolution.start))]
    for update in (binance_before(evolution), *evolution.updates) if futures else evolution.updates:
        lines.append(stream_line(update, {"data": binance_diff(update, futures=futures)}))
        if update == answered:
            lines.append(stream_line(update, binance_answer(update)))
    return {"layout": "combined_stream", "messages": write_gzip(folder / "stream.gz", lines), **DAYS}


def binance_futures_stream(folder: Path, evolution: Evolution) -> dict[str, Any]:
    return binance_stream(folder, evolution, futures=True)


def lob_capture(folder: Path, evolution: Evolution) -> dict[str, Any]:
    def row(update: Update, *cells: Any) -> str:
        seconds, thousandths = divmod(DAY_MS + update.time_ms, 1000)
        quoted = json.dumps(cells[-1]).replace('"', '""')
        return ",".join(map(str, (seconds, thousandths * 1_000_000, *cells[:-1]))) + f',"{quoted}"'

    messages = [
        "recv_tsec,recv_tnsec,venue,stream_kind,shard_id,conn_epoch,conn_seq,symbol,payload_json",
        *(
            row(update, "spot", "depth_diff", 0, 0, number, "ABCUSDT", binance_diff(update, futures=False))
            for number, update in enumerate(evolution.updates)
        ),
    ]
    start = evolution.start
    answers = [
        "recv_tsec,recv_tnsec,symbol,lastUpdateId,payload_json",
        row(start, "ABCUSDT", start.last, binance_answer(start)),
    ]
    written = write_gzip(folder / "messages.csv.gz", messages), write_gzip(folder / "answers.csv.gz", answers)
    return {"messages": written[0], "answers": written[1], **DAYS}


def depth_csv(folder: Path, evolution: Evolution) -> dict[str, Any]:
    header = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"

    def rows(update: Update, sides: tuple[Levels, Levels], kind: str, previous: int) -> list[str]:
        cells = f"ABCUSDT,{DAY_MS + update.time_ms},{update.first},{update.last}"
        return [
            f"{cells},{side},{kind},{price},{quantity},{previous}"
            for side, levels in zip("ba", sides, strict=True)
            for price, quantity in levels.items()
        ]

    start = evolution.start
    snapshots = [header, *rows(start, (start.bids_after, start.asks_after), "snap", -1)]
    # The answer's last change once more: futures want to see the message that contains it.
    known = dict([*start.bids_after.items()][:1])
    updates = [header, *rows(start, (known, {}), "set", start.previous)]
    for update in evolution.updates:
        updates += rows(update, (update.bids, update.asks), "set", update.previous)
    written = write_gzip(folder / "snap.csv.gz", snapshots), write_gzip(folder / "update.csv.gz", updates)
    return {"snapshots": written[0], "updates": written[1], **DAYS}


def tardis(folder: Path, evolution: Evolution) -> dict[str, Any]:
    def rows(update: Update, sides: tuple[Levels, Levels], flag: str) -> list[str]:
        clock = (DAY_MS + update.time_ms) * 1000
        return [
            f"venue,ABC-USDT,{clock - 5},{clock},{flag},{side},{price},{quantity}"
            for side, levels in zip(("bid", "ask"), sides, strict=True)
            for price, quantity in levels.items()
        ]

    start = evolution.start
    lines = ["exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"]
    lines += rows(start, (start.bids_after, start.asks_after), "true")
    for update in evolution.updates:
        lines += rows(update, (update.bids, update.asks), "false")
        lines.append(lines[-1].replace("ABC-USDT", "XYZ-USDT"))  # another symbol between
    return {"exchange": "venue", "symbol": "ABC-USDT", "changes": write_gzip(folder / "changes.csv.gz", lines), **DAYS}


def orders(folder: Path, evolution: Evolution) -> dict[str, Any]:
    """One order a level; it is created, changed and deleted as the level comes, changes and goes."""
    lines = ["id,timestamp,exchange.timestamp,price,volume,action,direction"]
    numbers: dict[tuple[str, str], int] = {}
    for update in (evolution.start, *evolution.updates):
        time_ms, written = DAY_MS + update.time_ms, len(lines)
        for direction, side in (("bid", update.bids), ("ask", update.asks)):
            for price, quantity in side.items():
                known = numbers.get((direction, price))
                if quantity != "0":
                    action = "created" if known is None else "changed"
                    number = numbers.setdefault((direction, price), len(lines))
                elif known is not None:
                    action, number = "deleted", numbers.pop((direction, price))
                else:
                    continue
                volume = round(float(quantity) * 10**8)
                lines.append(f"{number},{time_ms},{time_ms},{price},{volume},{action},{direction}")
        if len(lines) == written:  # nothing happened to any order that is known
            lines.append(f"1000000,{time_ms},{time_ms},99.50,0,deleted,bid")
    return {"orders": write_gzip(folder / "orders.csv.gz", lines), "volume_decimals": 8, **DAYS}


Writer = Callable[[Path, Evolution], dict[str, Any]]
FORMATS: Mapping[str, tuple[str, str, Writer]] = {
    "binance spot": ("binance_capture", "spot", binance_stream),
    "binance futures": ("binance_capture", "usdm", binance_futures_stream),
    "lob capture": ("binance_lob_capture", "spot", lob_capture),
    "depth csv": ("binance_depth_csv", "usdm", depth_csv),
    "tardis": ("tardis_incremental", "spot", tardis),
    "coinbase": ("cryptofeed_capture", "spot", coinbase),
    "kraken": ("cryptofeed_capture", "spot", kraken),
    "okx": ("cryptofeed_capture", "spot", okx),
    "bybit": ("cryptofeed_capture", "spot", bybit),
    "orders": ("order_events", "spot", orders),
}
"""Kind, market and writer of each format."""


def read_back(name: str, folder: Path, evolution: Evolution, **overrides: Any) -> dict[int, Book]:
    """Write an evolution in a format and rebuild its books."""
    kind, market, write = FORMATS[name]
    of = instrument(market)
    capture = write(folder, evolution)
    with noting_inputs() as inputs:
        tall = build(kind, of, capture, **overrides).extract(of, DAY, 0)
    written = {str(file) for file in folder.rglob("*") if file.is_file()}
    assert written & set(inputs), "a changed file would not be noticed"
    return books_of(tall)
