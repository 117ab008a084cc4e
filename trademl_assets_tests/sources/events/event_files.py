"""Writes an evolution as a capture of every format and reads it back."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from trademl_assets.foundation.calendar import day_start
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.market import MarketParameters
from trademl_assets_tests.sources.events.evolutions import DAY, DAY_MS, Book, Evolution, Levels, Update

assert MarketParameters  # importing it registers the kinds

DAYS = {"first_day": DAY.isoformat(), "last_day": DAY.isoformat()}
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


def write_gzip(path: Path, lines: Iterable[str]) -> str:
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=1, mtime=0))
    return str(path)


def pairs(levels: Levels) -> list[list[str]]:
    return [[price, quantity] for price, quantity in levels.items()]


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


def cryptofeed(
    folder: Path, evolution: Evolution, exchange: str, address: str, messages: Iterable[tuple[Update, Any]]
) -> dict[str, Any]:
    lines = [f"{address} <-> {DAY_MS // 1000}.0", f'{address} <- {DAY_MS // 1000}.1: {{"op": "subscribe"}}']
    for update, message in messages:
        seconds, thousandths = divmod(DAY_MS + update.time_ms, 1000)
        lines.append(f"{seconds}.{thousandths:03}: {json.dumps(message)}")
    return {
        "exchange": exchange,
        "symbol": "ABC-USDT",
        "streams": [write_gzip(folder / f"{exchange}.gz", lines)],
        "answers": [],
        **DAYS,
    }


def coinbase(folder: Path, evolution: Evolution) -> dict[str, Any]:
    start = evolution.start
    whole = {"type": "snapshot", "product_id": "ABC-USDT", "bids": pairs(start.bids), "asks": pairs(start.asks)}
    messages: list[tuple[Update, Any]] = [(start, {"type": "subscriptions", "channels": []}), (start, whole)]
    for update in evolution.updates:
        changes = [["buy", *pair] for pair in pairs(update.bids)] + [["sell", *pair] for pair in pairs(update.asks)]
        messages.append((update, {"type": "l2update", "product_id": "ABC-USDT", "changes": changes}))
        messages.append((update, {"type": "l2update", "product_id": "XYZ-USDT", "changes": changes}))
    return cryptofeed(folder, evolution, "coinbase", "wss://ws-feed.exchange.coinbase.com", messages)


def kraken(folder: Path, evolution: Evolution) -> dict[str, Any]:
    def triples(levels: Levels) -> list[list[str]]:
        return [[price, quantity, "1.0"] for price, quantity in levels.items()]

    start, tail = evolution.start, ("book-10", "ABC-USDT")
    messages: list[tuple[Update, Any]] = [
        (start, [7, {"as": triples(start.asks_after), "bs": triples(start.bids_after)}, *tail])
    ]
    for update in evolution.updates:
        bids, asks = ordered(update)
        text = "".join(part.replace(".", "").lstrip("0") for pair in asks + bids for part in pair)
        told = {"a": triples(update.asks), "b": triples(update.bids)}
        parts = [{name: levels} for name, levels in told.items() if levels]
        parts[-1]["c"] = str(zlib.crc32(text.encode()))  # type: ignore[assignment]  # Kraken puts both into one object
        messages.append((update, [7, *parts, *tail]))
    return cryptofeed(folder, evolution, "kraken", "wss://ws.kraken.com", messages)


def okx(folder: Path, evolution: Evolution) -> dict[str, Any]:
    def message(update: Update, action: str, bids: Levels, asks: Levels) -> Any:
        best_bids, best_asks = ordered(update)
        parts: list[str] = []
        for level in range(25):
            parts += [*best_bids[level : level + 1], *best_asks[level : level + 1]]  # type: ignore[arg-type]  # flattened below
        checksum = zlib.crc32(":".join(":".join(pair) for pair in parts).encode())
        four = [[[price, quantity, "0", "1"] for price, quantity in side.items()] for side in (bids, asks)]
        signed = checksum - 2**32 if checksum >= 2**31 else checksum
        data = {"bids": four[0], "asks": four[1], "ts": "1", "checksum": signed}
        return {"arg": {"channel": "books", "instId": "ABC-USDT"}, "action": action, "data": [data]}

    start = evolution.start
    messages: list[tuple[Update, Any]] = [
        (start, {"event": "subscribe", "arg": {"channel": "books", "instId": "ABC-USDT"}}),
        (start, message(start, "snapshot", start.bids_after, start.asks_after)),
        *((update, message(update, "update", update.bids, update.asks)) for update in evolution.updates),
    ]
    return cryptofeed(folder, evolution, "okx", "wss://ws.okx.com:8443/ws/v5/public", messages)


def bybit(folder: Path, evolution: Evolution) -> dict[str, Any]:
    def level(side: str, price: str, quantity: str | None) -> dict[str, Any]:
        size = {} if quantity is None else {"size": float(quantity)}
        return {"price": price, "symbol": "ABC-USDT", "side": side, **size}

    start = evolution.start
    whole = [
        level(name, price, quantity)
        for name, side in (("Buy", start.bids_after), ("Sell", start.asks_after))
        for price, quantity in side.items()
    ]
    topic = "orderBookL2_25.ABC-USDT"
    first = {"topic": topic, "type": "snapshot", "data": {"order_book": whole}, "cross_seq": str(start.last)}
    messages: list[tuple[Update, Any]] = [(start, {"success": True}), (start, first)]
    before = start
    for update in evolution.updates:
        data: dict[str, list[Any]] = {"delete": [], "update": [], "insert": []}
        sides = ("Buy", before.bids_after, update.bids), ("Sell", before.asks_after, update.asks)
        for name, known, told in sides:
            for price, quantity in told.items():
                if quantity != "0":
                    data["update" if price in known else "insert"].append(level(name, price, quantity))
                elif price in known:
                    data["delete"].append(level(name, price, None))
        messages.append((update, {"topic": topic, "type": "delta", "data": data, "cross_seq": str(update.last)}))
        before = update
    return cryptofeed(folder, evolution, "bybit", "wss://stream.bybit.com/realtime_public", messages)


def ordered(update: Update) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    def price(pair: tuple[str, str]) -> float:
        return float(pair[0])

    return sorted(update.bids_after.items(), key=price, reverse=True), sorted(update.asks_after.items(), key=price)


def orders(folder: Path, evolution: Evolution) -> dict[str, Any]:
    """One order a level; it is created, changed and deleted as the level comes, changes and goes."""
    lines = ["id,timestamp,exchange.timestamp,price,volume,action,direction"]
    numbers: dict[tuple[str, str], int] = {}
    for update in (evolution.start, *evolution.updates):
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
                volume, time_ms = round(float(quantity) * 10**8), DAY_MS + update.time_ms
                lines.append(f"{number},{time_ms},{time_ms},{price},{volume},{action},{direction}")
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
    return books_of(build(kind, of, write(folder, evolution), **overrides).extract(of, DAY, 0))
