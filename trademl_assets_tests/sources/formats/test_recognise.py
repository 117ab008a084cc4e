"""Telling formats apart by their first bytes and columns."""

from pathlib import Path

import polars as pl
import pytest

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.capped_reading import ReadingCaps
from trademl_assets.sources.formats.recognise import recognise
from trademl_assets_tests.sources.formats.configured import ABC, DAY, SETTINGS, source, tall_day
from trademl_assets_tests.sources.formats.written_days import (
    book_ticker,
    compress,
    json_levels,
    listed,
    numbered,
    sided,
    tardis,
    with_epoch,
    write,
)

CAPS = ReadingCaps(500_000_000, 1_000_000)
REAL = {
    "lob-binance-multivenue/raw/spot/btcusdt_20240808.gz": "binance_capture",
    "lob-binance-multivenue/raw/cm/ethusd_perp_20240808.gz": "binance_capture",
    "lob-binance-ethbtc-1000lvl/raw/ETHBTC_2020-11-01T09-00-00_snapshot.json.gz": "binance_capture",
    "lob-binance-ethbtc-1000lvl/raw/ETHBTC_2020-11-01T09-00-00_update.json.gz": "binance_capture",
    "lob-binance-ethbtc-1000lvl/ETHBTC_snapshots_10s.parquet": "depth_files",
    "lob-binance-multivenue/snapshots_10s.parquet": "depth_files",
    "lob-bitstamp-l3/snapshots_10s.parquet": "depth_files",
    "lob-bitstamp-l3/orders.parquet": "order_events",
    "lob-bitstamp-l3/orders_first5000.csv.gz": "order_events",
    "lob-binance-futures-100lvl/BTCUSDT_2024-09-21.parquet": "json_level_files",
    "lob-coinbase-btc-1min-15lvl/BTC_1min.parquet": "level_column_files",
    "lob-coinbase-btc-1min-15lvl/BTC_1min_original_format.csv.gz": "level_column_files",
    "lob-nasdaq-amzn-l1/AMZN_2012-06-21.parquet": "level_column_files",
    "lob-format-samples/tardis_binance-futures_book_snapshot_5_BTCUSDT.csv": "tardis_snapshots",
    "lob-format-samples/tardis_binance-futures_book_snapshot_25_BTCUSDT.csv": "tardis_snapshots",
    "lob-format-samples/tardis_deltas_with_snapshot.csv": "tardis_incremental",
    "lob-format-samples/tardis_deribit_incremental_book_L2_BTC-PERPETUAL.csv": "tardis_incremental",
    "lob-format-samples/binance_btcusdt-depth-snap.csv": "binance_depth_csv",
    "lob-format-samples/binance_btcusdt-depth-update.csv": "binance_depth_csv",
    "lob-format-samples/cryptofeed/BINANCE.http.0.0.gz": "cryptofeed_capture",
    "lob-format-samples/cryptofeed/BINANCE.ws.1.0.gz": "cryptofeed_capture",
    "lob-format-samples/cryptofeed/BINANCE_FUTURES.ws.1.0.gz": "cryptofeed_capture",
    "lob-format-samples/cryptofeed/BYBIT.ws.25.0.gz": "cryptofeed_capture",
    "lob-format-samples/cryptofeed/COINBASE.ws.28.0.gz": "cryptofeed_capture",
    "lob-format-samples/cryptofeed/KRAKEN.ws.50.0.gz": "cryptofeed_capture",
    "lob-format-samples/cryptofeed/OKX.ws.1.0.gz": "cryptofeed_capture",
    "lob-format-samples/binance-lob-capture/market_data_spot_BTCUSDT_sample.csv.gz": "binance_lob_capture",
    "lob-format-samples/binance-lob-capture/market_data_spot_BTCUSDT_sample_orderbook.csv.gz": "binance_lob_capture",
    "lob-format-samples/binance-lob-capture/market_data_spot_BTCUSDT_sample_snapshots.csv.gz": "binance_lob_capture",
}
REFUSED = {
    "lob-btc-top-5s/BTC_top_of_book.parquet": "sums over several levels",
    "candles-binance-1m/ADAUSDT_1m_2023.parquet": "candles",
    "candles-binanceus-1m/original-format/BTCUSDT_1m_head.csv.gz": "candles",
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_recognised(market_data: Path, name: str) -> None:
    assert recognise(market_data / name, name, CAPS).kind == REAL[name]


@pytest.mark.parametrize("name", REFUSED)
def test_real_files_that_hold_no_level_books_are_refused_with_the_reason(market_data: Path, name: str) -> None:
    found = recognise(market_data / name, name, CAPS)

    assert found.kind is None
    assert REFUSED[name] in found.refusal


def test_percentage_bands_are_no_level_book(tmp_path: Path) -> None:
    content = b"timestamp,percentage,depth,notional\n2024-03-05 00:00:08,-5,100.0,1000.0\n"
    path = compress(content, tmp_path / "ABCUSDT-bookDepth-2024-03-05.zip")

    for kind in ("binance_book_ticker", "tall_files", "level_column_files"):
        with pytest.raises(SourceError, match="percentage bands, not a level book"):
            source(kind, path).extract(ABC, DAY, 0)


def test_a_file_of_another_format_is_refused_naming_the_kind_to_use(tmp_path: Path) -> None:
    tall = tall_day(0, 10)
    events = {
        "tardis_incremental": "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n",
        "binance_depth_csv": "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n",
        "order_events": "id,timestamp,exchange.timestamp,price,volume,action,direction\n",
        "cryptofeed_capture": "wss://stream.binance.com:9443/stream <-> 1633998511.159679\n",
        "binance_capture": '1723161256172216566 {"stream":"btcusdt@depth","data":{"e":"depthUpdate"}}\n',
        "binance_lob_capture": "recv_tsec,recv_tnsec,symbol,lastUpdateId,payload_json\n",
    }
    files = {kind: compress(text.encode(), tmp_path / f"{kind}.csv") for kind, text in events.items()} | {
        "tall_files": write(tall, tmp_path / "tall.parquet"),
        "depth_files": write(listed(tall), tmp_path / "lists.parquet"),
        "json_level_files": write(json_levels(tall), tmp_path / "json.csv"),
        "tardis_snapshots": write(tardis(tall), tmp_path / "tardis.csv"),
        "binance_book_ticker": write(book_ticker(tall), tmp_path / "ticker.zip", include_header=False),
        "level_column_files": write(numbered(tall, lambda name, level: f"{name}{level}"), tmp_path / "wide.csv"),
    }
    for found, path in files.items():
        for kind in SETTINGS:
            if kind in (found, "level_column_files") and found not in events:
                continue
            with pytest.raises(SourceError, match=f"ABC on 2024-03-05.*-> use the source kind {found}$"):
                source(kind, path).extract(ABC, DAY, 0)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"speed,colour\n1,red\n", "columns speed, colour"),
        (b"\x00\x01\xff\xfe\n", "bytes that begin with"),
        (b"1;2;3\n", "3 columns delimited by ';'"),
        (b'{"hello": 1}\n', "JSON that begins with"),
    ],
)
def test_what_is_not_recognised_is_described(tmp_path: Path, content: bytes, seen: str) -> None:
    found = recognise(compress(content, tmp_path / "odd.txt"), "odd", CAPS)

    assert (found.kind, found.refusal) == (None, "")
    assert seen in found.seen


def test_columns_that_are_configured_under_other_names_are_welcome(tmp_path: Path) -> None:
    names = {"ts": "moment", "level": "rank", "bid_price": "bp", "ask_price": "ap"}
    path = write(tall_day(0).rename(names), tmp_path / "other.parquet")
    layout = {"by": "paired", "bid_price": "bp", "bid_quantity": "bid_quantity", "ask_price": "ap"}
    time = {"column": "moment", "unit": "sniff", "zone": None}

    built = source("tall_files", path, time=time, level="rank", layout={**layout, "ask_quantity": "ask_quantity"})

    assert built.extract(ABC, DAY, 0).equals(tall_day(0))
    sides = write(with_epoch(sided(tall_day(0))), tmp_path / "sides.csv")
    assert recognise(sides, "sides", CAPS).kind is None
    assert recognise(write(pl.DataFrame({"a": [1]}), tmp_path / "a.parquet"), "a", CAPS).kind is None
