"""Books rebuilt from real captures, against the books that others rebuilt from them."""

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trademl_assets.foundation.errors import SequenceGapError
from trademl_assets.sources.contracts import require_contract, tall_contract
from trademl_assets_tests.sources.events.binance_messages import instrument, list_capture, source, stream_capture

ETHBTC_DAY = date(2020, 11, 1)
VENUES_DAY = date(2024, 8, 8)
REAL_LIMITS: dict[str, Any] = {
    "max_file_bytes": 100_000_000,
    "max_message_bytes": 1_000_000,
    "max_diffs_before_book": 100,
}
LISTS = {"bid_price": "bid_price", "bid_quantity": "bid_size", "ask_price": "ask_price", "ask_quantity": "ask_size"}


def as_lists(tall: pl.DataFrame) -> pl.DataFrame:
    return tall.group_by("ts", maintain_order=True).agg(
        pl.col("batch_id").first().alias("last_update_id"),
        *(pl.col(column).drop_nulls().alias(name) for column, name in LISTS.items()),
    )


def expected_books(path: Path, **equal: str) -> pl.DataFrame:
    rows = pl.read_parquet(path).filter(**equal) if equal else pl.read_parquet(path)
    return rows.select(pl.col("ts").cast(pl.Datetime("us", "UTC")), "last_update_id", *LISTS.values())


def ethbtc_files(market_data: Path) -> tuple[Path, Path]:
    raw = market_data / "lob-binance-ethbtc-1000lvl" / "raw"
    return raw / "ETHBTC_2020-11-01T09-00-00_snapshot.json.gz", raw / "ETHBTC_2020-11-01T09-00-00_update.json.gz"


def venue_file(market_data: Path, venue: str, symbol: str) -> Path:
    return market_data / "lob-binance-multivenue" / "raw" / venue / f"{symbol.lower()}_20240808.gz"


@pytest.mark.parametrize(("cadence", "levels"), [(1, 50), (10, 1000)])
def test_an_hour_of_ethbtc_equals_the_known_books(market_data: Path, cadence: int, levels: int) -> None:
    ethbtc = instrument("ETHBTC", "spot", "ETHBTC")
    capture = list_capture(*ethbtc_files(market_data), ETHBTC_DAY)

    reader = source(ethbtc, capture, cadence_seconds=cadence, **{**REAL_LIMITS, "max_levels": levels})
    tall = reader.extract(ethbtc, ETHBTC_DAY, 0)

    require_contract(tall, tall_contract(), "ETHBTC")
    known = expected_books(market_data / "lob-binance-ethbtc-1000lvl" / f"ETHBTC_snapshots_{cadence}s.parquet")
    assert len(known) == {1: 3599, 10: 360}[cadence]
    assert as_lists(tall).equals(known)


@pytest.mark.parametrize(
    ("venue", "market", "symbol"),
    [
        ("spot", "spot", "BTCUSDT"),
        ("spot", "spot", "ETHUSDT"),
        ("usdm", "usdm", "BTCUSDT"),
        ("usdm", "usdm", "ETHUSDT"),
        ("cm", "coinm", "BTCUSD_PERP"),
        ("cm", "coinm", "ETHUSD_PERP"),
    ],
)
def test_captured_streams_equal_the_known_books(market_data: Path, venue: str, market: str, symbol: str) -> None:
    traded = instrument(f"{symbol}.{venue}", market, symbol)
    capture = stream_capture(venue_file(market_data, venue, symbol), VENUES_DAY)

    reader = source(traded, capture, **{**REAL_LIMITS, "max_levels": 1000})
    tall = reader.extract(traded, VENUES_DAY, 0)

    for cadence, levels, least in ((1, 100, 343), (10, 1000, 34)):
        snapshots = market_data / "lob-binance-multivenue" / f"snapshots_{cadence}s.parquet"
        known = expected_books(snapshots, venue=venue, symbol=symbol)
        assert len(known) >= least
        sampled = tall.filter(pl.col("ts").dt.second() % cadence == 0, pl.col("level") < levels)
        assert as_lists(sampled).equals(known)


def test_an_hour_without_one_diff_is_refused_with_its_numbers(market_data: Path, tmp_path: Path) -> None:
    initial, path = ethbtc_files(market_data)
    diffs = json.loads(gzip.decompress(path.read_bytes()))
    missing = diffs.pop(1800)
    (tmp_path / "diffs.json.gz").write_bytes(gzip.compress(json.dumps(diffs).encode(), compresslevel=1))
    ethbtc = instrument("ETHBTC", "spot", "ETHBTC")
    reader = source(ethbtc, list_capture(initial, tmp_path / "diffs.json.gz", ETHBTC_DAY), **REAL_LIMITS)

    with pytest.raises(SequenceGapError) as refusal:
        reader.extract(ethbtc, ETHBTC_DAY, 0)

    message = str(refusal.value)
    for part in (
        "ETHBTC on 2020-11-01",
        "diffs.json.gz, message 1801",
        f"U <= {missing['U']}",
        f"U = {diffs[1800]['U']}",
    ):
        assert part in message


@pytest.mark.parametrize(("venue", "market", "symbol"), [("spot", "spot", "ETHUSDT"), ("cm", "coinm", "ETHUSD_PERP")])
def test_a_stream_without_one_diff_is_refused_with_its_numbers(
    market_data: Path, tmp_path: Path, venue: str, market: str, symbol: str
) -> None:
    lines = gzip.decompress(venue_file(market_data, venue, symbol).read_bytes()).splitlines(keepends=True)
    place = next(number for number in range(10_000, len(lines)) if b"depthUpdate" in lines[number])
    missing = json.loads(lines.pop(place).split(b" ", 1)[1])["data"]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"".join(lines), compresslevel=1))
    traded = instrument(f"{symbol}.{venue}", market, symbol)
    reader = source(traded, stream_capture(tmp_path / "cut.gz", VENUES_DAY), **REAL_LIMITS)

    with pytest.raises(SequenceGapError) as refusal:
        reader.extract(traded, VENUES_DAY, 0)

    expected = f"U <= {missing['U']}" if market == "spot" else f"pu = {missing['pu']}"
    assert expected in str(refusal.value)
    assert f"{symbol}.{venue} on 2024-08-08" in str(refusal.value)
