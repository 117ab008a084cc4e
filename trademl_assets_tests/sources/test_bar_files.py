import gzip
import json
import zipfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.foundation.input_files import noting_inputs
from trademl_assets.sources.bar_contract import BAR_SCHEMA, BarSource
from trademl_assets.sources.bar_files import KLINE_COLUMNS
from trademl_assets.sources.contract import SOURCES
from trademl_assets_tests.candles.made_bars import at, walk
from trademl_assets_tests.sources.formats.configured import ABC

FIRST, LAST = date(2024, 2, 1), date(2024, 2, 29)
COMMON: dict[str, Any] = {
    "bar_seconds": 60,
    "max_rows": 100_000,
    "max_file_bytes": 50_000_000,
    "max_compression_ratio": 200.0,
}
NAMED = {name: name for name in ("open", "high", "low", "close", "volume", "taker_buy_volume", "trades")}
BARS: dict[str, Any] = {
    **COMMON,
    "time": {"column": "ts", "unit": "sniff", "zone": None},
    "stamped": "open",
    "columns": NAMED,
    "headerless_columns": [],
    "missing_texts": [],
}


def source(kind: str, path: Path, **changes: Any) -> Any:
    settings = {**(COMMON if kind == "binance_klines" else BARS), "files": {ABC.name: str(path)}, **changes}
    built = SOURCES.get(kind)
    return built(built.parameters.model_validate_json(json.dumps(settings)), {ABC.name: ABC})


def kline_text(rows: pl.DataFrame, *, microseconds: bool, header: bool) -> str:
    unit = 1 if microseconds else 1000
    opened = rows["ts"].to_physical() // unit
    table = rows.select(
        *("open", "high", "low", "close", "volume"), count="trades", taker_buy_volume=pl.col("volume") / 2
    ).with_columns(
        open_time=opened,
        close_time=opened + 60_000_000 // unit - 1,
        quote_volume=pl.lit(1.5),
        taker_buy_quote_volume=pl.lit(0.5),
        ignore=pl.lit(0),
    )
    return table.select(*KLINE_COLUMNS).write_csv(include_header=header)


@pytest.mark.parametrize("microseconds", [False, True])
@pytest.mark.parametrize("header", [False, True])
def test_kline_archives_are_read_whatever_their_unit_and_header(tmp_path: Path, microseconds: bool, header: bool):  # noqa: FBT001 -- parametrised
    rows = walk(at("2024-02-28T23:00:00"), 120)
    file = tmp_path / "ABCUSDT-1m-2024-02.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("ABCUSDT-1m-2024-02.csv", kline_text(rows, microseconds=microseconds, header=header))
    built = source("binance_klines", tmp_path / "ABCUSDT-1m-{month}*.zip")
    assert isinstance(built, BarSource)
    with noting_inputs() as inputs:
        read = built.bars(ABC, FIRST, LAST)
    assert read.equals(rows.with_columns(taker_buy_volume=pl.col("volume") / 2))
    assert list(inputs) == [str(file)]


def test_daily_and_monthly_archives_are_put_together(tmp_path: Path):
    rows = walk(at("2024-02-01T00:00:00"), 2 * 1440)
    for day in (1, 2):
        part = rows.filter(pl.col("ts").dt.day() == day)
        (tmp_path / f"ABC-1m-2024-02-0{day}.csv").write_text(kline_text(part, microseconds=False, header=False))
    (tmp_path / "ABC-1m-2024-03-01.csv").write_text("not read")
    read = source("binance_klines", tmp_path / "ABC-1m-{month}-*.csv").bars(ABC, FIRST, LAST)
    assert read["ts"].equals(rows["ts"])


def test_archives_of_another_interval_are_refused(tmp_path: Path):
    rows = walk(at("2024-02-01T00:00:00"), 5)
    (tmp_path / "a.csv").write_text(kline_text(rows, microseconds=False, header=False))
    with pytest.raises(SourceError, match=r"bars last 60 s, bar_seconds is 300"):
        source("binance_klines", tmp_path / "a.csv", bar_seconds=300).bars(ABC, FIRST, LAST)


def test_a_unit_that_changes_within_a_file_is_refused(tmp_path: Path):
    rows = walk(at("2024-02-01T00:00:00"), 4)
    text = kline_text(rows[:2], microseconds=False, header=False) + kline_text(
        rows[2:], microseconds=True, header=False
    )
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SourceError, match="mixed units of time"):
        source("binance_klines", tmp_path / "a.csv").bars(ABC, FIRST, LAST)


def test_parquet_and_csv_bars_come_back_as_they_were_written(tmp_path: Path):
    rows = walk(at("2024-01-31T23:59:00"), 3).with_columns(taker_buy_volume=pl.lit(1.0))
    rows.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv.gz").write_bytes(
        gzip.compress(rows.with_columns(pl.col("ts").to_physical()).write_csv().encode())
    )
    for name in ("a.parquet", "a.csv.gz"):
        read = source("bar_files", tmp_path / name).bars(ABC, FIRST, LAST)
        assert read.equals(rows[1:])
        assert dict(read.schema) == dict(BAR_SCHEMA)


def test_bars_stamped_with_their_end_are_given_their_opening(tmp_path: Path):
    rows = walk(at("2024-02-01T00:00:00"), 3)
    rows.with_columns(ts=pl.col("ts") + timedelta(minutes=1)).write_parquet(tmp_path / "a.parquet")
    assert source("bar_files", tmp_path / "a.parquet", stamped="end").bars(ABC, FIRST, LAST).equals(rows)


def test_columns_that_a_file_lacks_are_null_where_that_is_allowed(tmp_path: Path):
    rows = walk(at("2024-02-01T00:00:00"), 3)
    rows.drop("trades", "taker_buy_volume").write_parquet(tmp_path / "a.parquet")
    fewer = {**NAMED, "trades": None, "taker_buy_volume": None}
    read = source("bar_files", tmp_path / "a.parquet", columns=fewer).bars(ABC, FIRST, LAST)
    assert read["trades"].null_count() == read["taker_buy_volume"].null_count() == 3
    with pytest.raises(SourceError, match="lacks the columns taker_buy_volume, trades"):
        source("bar_files", tmp_path / "a.parquet").bars(ABC, FIRST, LAST)


def test_files_that_declare_too_much_are_refused_before_they_are_read(tmp_path: Path):
    walk(at("2024-02-01T00:00:00"), 300).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="declares 300 rows"):
        source("bar_files", tmp_path / "a.parquet", max_rows=299).bars(ABC, FIRST, LAST)
    bomb = tmp_path / "a.csv.gz"
    bomb.write_bytes(gzip.compress(b"0" * 10_000_000))
    with pytest.raises(SourceError, match="larger than"):
        source("bar_files", bomb).bars(ABC, FIRST, LAST)


def test_a_missing_file_and_a_stranger_are_refused(tmp_path: Path):
    with pytest.raises(
        SourceError, match=r"bars of ABC from 2024-02-01 to 2024-02-29, file .*2024-02.csv: there is none"
    ):
        source("binance_klines", tmp_path / "ABC-{month}.csv").bars(ABC, FIRST, LAST)
    with pytest.raises(ConfigError, match="unknown instruments XYZ"):
        source("bar_files", tmp_path, files={"XYZ": "a.csv"})


def test_a_file_without_bars_of_the_month_gives_none(tmp_path: Path):
    walk(at("2024-03-01T00:00:00"), 3).write_parquet(tmp_path / "a.parquet")
    assert source("bar_files", tmp_path / "a.parquet").bars(ABC, FIRST, LAST).is_empty()


def test_instants_in_whole_minutes_and_no_header_are_read_as_terminals_write_them(tmp_path: Path):
    rows = walk(at("2024-02-01T00:00:00"), 3)
    text = rows.select(pl.col("ts").dt.strftime("%Y-%m-%d %H:%M"), "open", "high", "low", "close", "volume")
    (tmp_path / "a.csv").write_text(text.write_csv(include_header=False))
    changes = {
        "columns": {**NAMED, "trades": None, "taker_buy_volume": None},
        "headerless_columns": ["ts", "open", "high", "low", "close", "volume"],
        "time": {"column": "ts", "unit": "sniff", "zone": "UTC"},
    }
    read = source("bar_files", tmp_path / "a.csv", **changes).bars(ABC, FIRST, LAST)
    assert read["ts"].equals(rows["ts"])
    assert read["close"].equals(rows["close"])


@pytest.mark.parametrize("kind", ["binance_klines", "bar_files"])
def test_a_damaged_file_is_refused_by_name_or_still_a_table_of_bars(tmp_path: Path, kind: str):
    rows = walk(at("2024-02-01T00:00:00"), 200).with_columns(taker_buy_volume=pl.lit(1.0))
    file = tmp_path / "a"
    if kind == "bar_files":
        file.write_bytes(gzip.compress(rows.with_columns(pl.col("ts").to_physical()).write_csv().encode()))
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", kline_text(rows, microseconds=True, header=False))
    sound, rng, refusals = file.read_bytes(), np.random.default_rng(4), []
    for _ in range(80):
        damaged = bytearray(sound)
        for place in rng.integers(0, len(sound), int(rng.integers(1, 6))):
            damaged[place] = int(rng.integers(0, 256))
        file.write_bytes(bytes(damaged[: int(rng.integers(1, len(sound)))] if rng.random() < 0.3 else damaged))
        try:
            read = source(kind, file).bars(ABC, FIRST, LAST)
        except SourceError as error:
            refusals.append(str(error))
            continue
        assert dict(read.schema) == dict(BAR_SCHEMA)
    assert len(refusals) > 20
    assert all("bars of ABC from 2024-02-01 to 2024-02-29" in refusal for refusal in refusals)


@pytest.mark.parametrize(
    ("file", "time", "first"),
    [
        (
            "candles-binance-1m/BTCUSDT_1m_2023.parquet",
            {"column": "time", "unit": "sniff", "zone": None},
            date(2023, 4, 3),
        ),
        (
            "candles-bybit-1m-gappy/ADAUSDT_1m.parquet",
            {"column": "ts", "unit": "sniff", "zone": None},
            date(2024, 9, 9),
        ),
        (
            "candles-binanceus-1m/original-format/BTCUSDT_1m_head.csv.gz",
            {"column": "open_time", "unit": "sniff", "zone": None},
            date(2023, 3, 1),
        ),
        (
            "fx-eurusd-1m/EURUSD_M1_2020-04-27_2020-06-14.parquet",
            {"column": "time", "unit": "sniff", "zone": "Europe/Athens"},
            date(2020, 5, 4),
        ),
    ],
)
def test_real_files_of_bars_are_read(market_data: Path, file: str, time: dict[str, Any], first: date):
    columns = {**NAMED, "trades": None, "taker_buy_volume": None}
    read = source("bar_files", market_data / file, time=time, columns=columns).bars(ABC, first, first)
    assert read.height > 0
    assert read["ts"].is_sorted()
    assert read["ts"].dt.date().unique().to_list() == [first]
