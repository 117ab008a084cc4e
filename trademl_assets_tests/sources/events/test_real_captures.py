"""Real captures of many exchanges, against what they say of themselves and what others rebuilt from them."""

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trademl_assets.foundation.errors import SequenceGapError, SourceError
from trademl_assets.sources.capped_reading import ReadingCaps
from trademl_assets.sources.contract import InstrumentParameters
from trademl_assets.sources.contracts import require_contract, tall_contract
from trademl_assets.sources.events.book_builder import BookBuilder
from trademl_assets.sources.events.capture_source import Reading
from trademl_assets.sources.events.continuity import binance_chain
from trademl_assets.sources.events.messages import DepthDiff, InitialBook
from trademl_assets.sources.events.price_keys import PriceKeys
from trademl_assets_tests.sources.events.event_files import build, instrument

REAL: dict[str, Any] = {"max_file_bytes": 100_000_000, "max_message_bytes": 1_000_000, "max_levels": 1000}


def cryptofeed(folder: Path, exchange: str, symbol: str, day: date, *names: str, answers: str = "") -> dict[str, Any]:
    folder = folder / "lob-format-samples" / "cryptofeed"
    return {
        "exchange": exchange,
        "symbol": symbol,
        "streams": [str(folder / name) for name in names],
        "answers": [str(folder / answers)] if answers else [],
        "first_day": day.isoformat(),
        "last_day": day.isoformat(),
    }


def plain(symbol: str) -> str:
    return symbol.replace("/", "").replace("-", "")


def crossed(tall: pl.DataFrame) -> int:
    return tall.filter(pl.col("level") == 0, pl.col("bid_price") >= pl.col("ask_price")).height


def rebuilt(
    of: InstrumentParameters, capture: dict[str, Any], day: date, **overrides: Any
) -> tuple[pl.DataFrame, dict[str, Any]]:
    kind = overrides.pop("kind", "cryptofeed_capture")
    tall, facts = build(kind, of, capture, **{**REAL, **overrides}).extract_described(of, day, 0)
    require_contract(tall, tall_contract(), of.name)
    return tall, facts["captures"][0]


@pytest.mark.parametrize(
    ("symbol", "diffs", "old", "instants"),
    [("NKNUSDT", 150, 1, 30), ("BLZETH", 10, 1, 18), ("LRCBTC", 15, 2, 24), ("RUNEEUR", 2, 1, 19)],
)
def test_binance_spot_of_cryptofeed(market_data: Path, symbol: str, diffs: int, old: int, instants: int) -> None:
    day = date(2021, 10, 12)
    capture = cryptofeed(market_data, "binance", symbol, day, "BINANCE.ws.1.0.gz", answers="BINANCE.http.0.0.gz")

    tall, facts = rebuilt(instrument("spot", symbol), capture, day)

    assert (facts["diffs"], facts["old_diffs"], facts["gaps"], facts["instants"]) == (diffs, old, 0, instants)
    assert crossed(tall) == 0


@pytest.mark.parametrize(
    ("symbol", "diffs", "instants"),
    [("SUSHIUSDT", 255, 20), ("AKROUSDT", 189, 20), ("KEEPUSDT", 135, 19), ("CTKUSDT", 185, 19)],
)
def test_binance_futures_of_cryptofeed_lack_a_first_book(
    market_data: Path, symbol: str, diffs: int, instants: int
) -> None:
    day, of = date(2021, 7, 22), instrument("usdm", symbol)
    capture = cryptofeed(market_data, "binance", symbol, day, "BINANCE_FUTURES.ws.1.0.gz")

    with pytest.raises(SourceError, match=f"no initial book among or before the first {diffs} depth diffs"):
        rebuilt(of, capture, day, max_diffs_before_book=1000)
    tall, facts = rebuilt(of, capture, day, without_initial_book="warm_up", warm_up_seconds=10)

    assert (facts["diffs"], facts["gaps"], facts["instants"]) == (diffs, 0, instants)
    assert facts["instants_left_out"] == {"warm_up": 10}
    assert crossed(tall) == 0


IN_STREAM: dict[str, tuple[str, date, int, dict[str, int]]] = {
    "coinbase": (
        "COINBASE.ws.28.0.gz",
        date(2021, 4, 17),
        30,
        {"SKL-USD": 2592, "SKL-BTC": 1539, "BAND-GBP": 471, "NMR-EUR": 665, "YFI-BTC": 487, "CRV-EUR": 670},
    ),
    "kraken": (
        "KRAKEN.ws.50.0.gz",
        date(2021, 4, 17),
        30,
        {"WAVES/EUR": 576, "XMR/USD": 846, "KSM/XBT": 335, "SC/EUR": 818, "XBT/CHF": 289, "ADA/XBT": 347},
    ),
    "okx": ("OKX.ws.1.0.gz", date(2022, 5, 13), 11, {"BTC-USD-220527": 98, "UNI-USD-SWAP": 92, "BTC-USDT": 97}),
    "bybit": (
        "BYBIT.ws.25.0.gz",
        date(2021, 4, 17),
        30,
        {"BCHUSDT": 477, "XTZUSDT": 448, "LTCUSDT": 646, "ETHUSDT": 288},
    ),
}
"""File, day, instants and, by symbol, diffs."""


@pytest.mark.parametrize("exchange", IN_STREAM)
def test_exchanges_whose_snapshot_stands_in_the_stream(market_data: Path, exchange: str) -> None:
    name, day, instants, diffs = IN_STREAM[exchange]
    for symbol, count in diffs.items():
        capture = cryptofeed(market_data, exchange, symbol, day, name)

        tall, facts = rebuilt(instrument("spot", plain(symbol)), capture, day)

        assert (facts["diffs"], facts["gaps"]) == (count, 0), symbol
        assert facts["instants"] in {instants, instants - 1}
        assert crossed(tall) == 0


@pytest.mark.parametrize(("exchange", "name"), [("kraken", "KRAKEN.ws.50.0.gz"), ("okx", "OKX.ws.1.0.gz")])
def test_a_real_checksum_notices_one_lost_message(market_data: Path, tmp_path: Path, exchange: str, name: str) -> None:
    day, symbol = {"kraken": (date(2021, 4, 17), "SC/EUR"), "okx": (date(2022, 5, 13), "BTC-USDT")}[exchange]
    capture = cryptofeed(market_data, exchange, symbol, day, name)
    lines = gzip.decompress(Path(capture["streams"][0]).read_bytes()).splitlines(keepends=True)
    changes = [number for number, line in enumerate(lines) if symbol.encode() in line and b'"c' in line][20:]
    del lines[changes[len(changes) // 2]]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"".join(lines), compresslevel=1))

    with pytest.raises(SequenceGapError, match="the message contradicts the book") as refusal:
        rebuilt(instrument("spot", plain(symbol)), {**capture, "streams": [str(tmp_path / "cut.gz")]}, day)
    assert "cut.gz, line" in str(refusal.value)


@pytest.mark.parametrize(
    ("exchange", "symbol", "part"),
    [("kraken", "XRP/USD", "found are ADA/XBT, ETH/CHF"), ("okx", "SC/EUR", "came from ws.kraken.com")],
)
def test_a_symbol_or_exchange_that_is_not_there(market_data: Path, exchange: str, symbol: str, part: str) -> None:
    day = date(2021, 4, 17)
    capture = cryptofeed(market_data, exchange, symbol, day, "KRAKEN.ws.50.0.gz")

    with pytest.raises(SourceError, match=part):
        rebuilt(instrument("spot", plain(symbol)), capture, day)


@pytest.mark.parametrize(
    ("market", "file", "symbol", "count"),
    [("spot", "spot/ethusdt", "ETHUSDT", 577), ("coinm", "cm/ethusd_perp", "ETHUSD_PERP", 1345)],
)
def test_books_agree_with_every_best_price_message_of_the_same_number(
    market_data: Path, market: str, file: str, symbol: str, count: int
) -> None:
    path = market_data / "lob-binance-multivenue" / "raw" / f"{file}_20240808.gz"
    tickers: dict[int, tuple[str, str, str, str]] = {}
    for line in gzip.decompress(path.read_bytes()).splitlines():
        data = json.loads(line.split(b" ", 1)[1]).get("data", {})
        if "A" in data and "a" in data and "U" not in data:
            tickers[data["u"]] = (data["b"], data["B"], data["a"], data["A"])
    of, day = instrument(market, symbol), "2024-08-08"
    capture = {"layout": "combined_stream", "messages": str(path), "first_day": day, "last_day": day}
    source = build("binance_capture", of, capture, **REAL)
    reading = Reading(of, "books", ReadingCaps(100_000_000, 1_000_000))

    keys, book, met = PriceKeys(8), None, 0
    waiting: list[DepthDiff] = []
    for message in source.messages(reading, source._captures[of.name][0]):
        if isinstance(message, InitialBook):
            book = BookBuilder(message, binance_chain(market), keys)  # type: ignore[arg-type]  # one of the three
            continue
        waiting.append(message)
        if book is None:
            continue
        for diff in waiting:
            book.apply(diff)
        waiting.clear()
        if (told := tickers.get(book.last_update_id)) is not None:
            met += 1
            bid, ask = book.bids.best(1), book.asks.best(1)
            best = [keys.prices(bid), book.bids.quantities(bid), keys.prices(ask), book.asks.quantities(ask)]
            assert [float(value[0]) for value in best] == [float(text) for text in told]
    assert met == count


def lob_sample(market_data: Path) -> tuple[Path, dict[str, Any]]:
    stem = market_data / "lob-format-samples" / "binance-lob-capture" / "market_data_spot_BTCUSDT_sample"
    day = "2026-06-07"
    files = {"messages": f"{stem}.csv.gz", "answers": f"{stem}_snapshots.csv.gz"}
    return Path(f"{stem}_orderbook.csv.gz"), {**files, "first_day": day, "last_day": day}


def test_a_minute_of_csv_messages_equals_the_book_rows_beside_it(market_data: Path) -> None:
    oracle, capture = lob_sample(market_data)
    of = instrument("spot", "BTCUSDT")

    tall, facts = rebuilt(of, capture, date(2026, 6, 7), kind="binance_lob_capture")

    assert (facts["diffs"], facts["old_diffs"], facts["gaps"]) == (595, 2, 0)
    assert crossed(tall) == 0
    rows = pl.read_csv(oracle).filter(type="D")  # the book of its own diffs
    assert len(rows) == 593
    rows = rows.with_columns(ns=pl.col("tsec") * 10**9 + pl.col("tnsec"))
    columns = {"bid_price": "bid", "bid_quantity": "bid_size", "ask_price": "ask", "ask_quantity": "ask_size"}
    books = tall.filter(pl.col("level") < 5).group_by("ts", maintain_order=True).agg(*columns)
    joined = books.with_columns(ns=pl.col("ts").cast(pl.Int64) * 1000).join_asof(rows, on="ns")
    assert len(joined) == 58
    for name, prefix in columns.items():
        known = joined.select(f"{prefix}{level}" for level in range(5)).rows()
        assert joined[name].to_list() == [[value / 10**8 for value in levels] for levels in known]


def test_the_depth_csv_samples_do_not_fit_together(market_data: Path) -> None:
    folder, of = market_data / "lob-format-samples", instrument("usdm", "BTCUSDT")
    day = "2022-11-01"
    capture = {
        "snapshots": str(folder / "binance_btcusdt-depth-snap.csv"),
        "updates": str(folder / "binance_btcusdt-depth-update.csv"),
        "first_day": day,
        "last_day": day,
    }

    with pytest.raises(SequenceGapError, match=r"expected U <= 2098021528332 .*found U = 2098041693435"):
        rebuilt(of, capture, date(2022, 11, 1), kind="binance_depth_csv")
    source = build("binance_depth_csv", of, capture)
    messages = source.messages(Reading(of, "samples", ReadingCaps(1_000_000, 1000)), source._captures["ABC"][0])
    assert [(type(message), len(list(message.bids)), len(list(message.asks))) for message in messages] == [
        (InitialBook, 100, 0),
        (DepthDiff, 23, 77),
    ]


def test_tardis_changes_begin_anew_at_each_snapshot(market_data: Path) -> None:
    folder, of = market_data / "lob-format-samples", instrument("usdm", "BTCUSDT")
    day = "2022-01-01"
    file = folder / "tardis_deltas_with_snapshot.csv"
    capture = {
        "exchange": "binance-futures",
        "symbol": "BTCUSDT",
        "changes": str(file),
        "first_day": day,
        "last_day": day,
    }

    tall, facts = rebuilt(of, capture, date(2022, 1, 1), kind="tardis_incremental", max_silence_seconds=200)

    assert facts["books_begun"] == pl.read_csv(file)["is_snapshot"].cast(pl.Int8).diff().fill_null(1).eq(1).sum() == 2
    assert crossed(tall) == 0
    assert tall["ts"].n_unique() == facts["instants"]
