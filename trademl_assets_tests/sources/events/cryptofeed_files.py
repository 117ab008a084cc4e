"""Writes an evolution as captures of cryptofeed."""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trademl_assets_tests.sources.events.evolutions import DAY_MS, Evolution, Levels, Update
from trademl_assets_tests.sources.events.written_lines import DAYS, pairs, write_gzip


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
