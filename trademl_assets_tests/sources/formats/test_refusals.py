"""Files that cannot be trusted are refused with a typed error that names instrument, day, file and remedy."""

import contextlib
import gzip
import hashlib
import random
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets_tests.sources.formats.configured import ABC, DAY, PLAIN_NAMES, source, tall_day
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

TALL = tall_day(*range(0, 100, 10))
CSV = with_epoch(TALL).write_csv()
NUMBERED = {"columns": {name: name + "{level}" for name in PLAIN_NAMES}}
SIDED = {"by": "side", "side": "side", "bid": "b", "ask": "a", "price": "price", "quantity": "size"}
WRITTEN: dict[str, tuple[str, pl.DataFrame, dict[str, Any]]] = {
    "tall.parquet": ("tall_files", TALL, {}),
    "tall.csv": ("tall_files", with_epoch(TALL), {}),
    "tall.csv.gz": ("tall_files", with_epoch(TALL), {}),
    "tall.csv.zst": ("tall_files", with_epoch(TALL), {}),
    "sided.csv.zip": ("tall_files", with_epoch(sided(TALL)), {"layout": SIDED, "level": None}),
    "lists.parquet": ("depth_files", listed(TALL), {}),
    "json.parquet": ("json_level_files", json_levels(TALL), {}),
    "json.csv": ("json_level_files", json_levels(TALL), {}),
    "tardis.csv": ("tardis_snapshots", tardis(TALL), {}),
    "tardis.csv.gz": ("tardis_snapshots", tardis(TALL), {}),
    "wide.parquet": ("level_column_files", numbered(TALL, lambda name, level: f"{name}{level}"), NUMBERED),
    "ABCUSDT-bookTicker-2024-03-05.zip": ("binance_book_ticker", book_ticker(TALL), {}),
}


def refusal_of(kind: str, path: Path, **changes: Any) -> str:
    with pytest.raises(SourceError) as refusal:
        source(kind, path, **changes).extract(ABC, DAY, 0)
    text = str(refusal.value)
    assert re.match(r"ABC on 2024-03-05(, file .+)?: .+ -> .+", text), text
    assert path.name in text
    return text


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    kind, frame, changes = WRITTEN[name]
    path = write(frame, tmp_path / name)
    whole = path.read_bytes()
    for cut in {0, 1, 3, 4, 30, len(whole) // 2, len(whole) - 40, len(whole) - 9, len(whole) - 2, len(whole) - 1}:
        if not (name.endswith(".csv") and whole[:cut].endswith(b"\n")):
            path.write_bytes(whole[:cut])
            refusal_of(kind, path, **changes)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_damaged_file_is_read_or_refused_and_never_fails_otherwise(tmp_path: Path, name: str) -> None:
    kind, frame, changes = WRITTEN[name]
    path = write(frame, tmp_path / name)
    built, whole, chance = source(kind, path, **changes), path.read_bytes(), random.Random(name)  # noqa: S311 -- no secret
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 3])):
            damaged[chance.randrange(len(damaged))] = chance.choice([chance.randrange(256), *b',"\n9\xff'])
        path.write_bytes(damaged)
        with contextlib.suppress(SourceError):
            built.extract(ABC, DAY, 0)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".zip"])
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, suffix: str) -> None:
    path = compress(CSV.encode().replace(b"bid_price", b"bid_pr\xffce"), tmp_path / f"odd.csv{suffix}")
    assert "is not UTF-8" in refusal_of("tall_files", path)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("ask_quantity\n", "ask_size\n", "lacks the columns ask_quantity, has ts, batch_id"),
        ("bid_price", "ask_price", "repeats the columns ask_price"),
        ("100.0,", "NaN,", "holds the text NaN"),
        ("100.0,", "many,", "not of its column's type"),
        ("\n17095968", "\n\n17095968", "lines are cut or blank"),
        (",100.0,", ",", "lines are cut or blank"),
        (",100.0,", ",100.0,,", "lines are cut or blank"),
        ("1709596800000000,0,0,", "1709596800000,0,0,", "mixed units of time"),
        ("1709596800000000,0,0,", "17095968000,0,0,", "mixed units of time"),
        ("1709596800000000,0,0,", ",0,0,", "lacks 1 instants"),
        ("1709596800000000,0,0,", "1709596800000000,,0,", "column batch_id lacks 1 values"),
        ("1709596800000000,0,0,", "1709596800000000,0,-1,", "column level holds -1"),
        ("1709596800000000,0,0,", "1709596800000000,0,9999999999,", "column level holds"),
        ("1709596820000000", "1709596805000000", "instants step back"),
    ],
)
def test_text_of_another_layout_is_refused(tmp_path: Path, old: str, new: str, part: str) -> None:
    assert old in CSV
    assert part in refusal_of("tall_files", compress(CSV.replace(old, new).encode(), tmp_path / "odd.csv"))


def test_texts_for_a_missing_value_are_null_once_they_are_configured(tmp_path: Path) -> None:
    path = compress(CSV.replace(",100.0,", ",NaN,", 1).encode(), tmp_path / "nan.csv")

    rows = source("tall_files", path, missing_texts=["NaN", "-"]).extract(ABC, DAY, 0)

    assert rows["bid_price"].to_list()[:2] == [None, TALL["bid_price"][1]]
    text = TALL.with_columns(pl.col("bid_price").cast(pl.String).replace("100.0", "NaN"))
    stored = write(text, tmp_path / "nan.parquet")
    assert "holds the text NaN" in refusal_of("tall_files", stored)
    rows = source("tall_files", stored, missing_texts=["NaN"]).extract(ABC, DAY, 0)
    assert rows["bid_price"].null_count() == 10


def test_a_number_that_is_none_stays_for_the_quality_rules_to_count(tmp_path: Path) -> None:
    path = write(TALL.with_columns(bid_price=np.nan), tmp_path / "nan.parquet")

    assert source("tall_files", path).extract(ABC, DAY, 0)["bid_price"].is_nan().all()


@pytest.mark.parametrize(
    ("kind", "frame", "part"),
    [
        ("tall_files", TALL.with_columns(bid_price=pl.lit(True)), "column bid_price is Boolean"),
        ("tall_files", TALL.with_columns(level=pl.lit(0.5)), "column level is Float64"),
        ("tall_files", TALL.with_columns(pl.col("ts").dt.replace_time_zone(None)), "have no zone"),
        ("depth_files", listed(TALL).with_columns(bid_size=pl.lit([1.0])), "prices without sizes"),
        ("depth_files", listed(TALL).with_columns(bid_size=pl.lit(None, pl.List(pl.Float64))), "prices without sizes"),
        ("depth_files", listed(TALL).with_columns(bid_price=pl.lit("many")), "expected lists"),
        ("depth_files", listed(TALL).with_columns(ask_size=pl.lit([None], pl.List(pl.Float64))), "a null among"),
        ("depth_files", listed(TALL).drop("last_update_id"), "lacks the columns last_update_id"),
        ("depth_files", pl.concat([listed(TALL)] * 2), "instants step back"),
        ("depth_files", pl.concat([listed(TALL)] * 2).sort("ts"), "books repeat an instant"),
        ("json_level_files", json_levels(TALL).with_columns(b=1), "expected JSON text"),
        ("tardis_snapshots", tardis(TALL).drop("asks[1].amount"), "expected the same levels without a hole"),
        ("tardis_snapshots", tardis(TALL, "XYZUSDT"), "seen were {'symbol': ['XYZUSDT']}"),
        ("tardis_snapshots", tardis(TALL).with_columns(pl.col("timestamp") // 1000), "no row of the day"),
    ],
)
def test_tables_of_another_layout_are_refused(tmp_path: Path, kind: str, frame: pl.DataFrame, part: str) -> None:
    assert part in refusal_of(kind, write(frame, tmp_path / "odd.parquet"))


@pytest.mark.parametrize(
    "text",
    [
        '[["1","2"],["3"]]',
        '[["1","2","3"]]',
        '[["1","2"],["3","4"]',
        '[["1",null]]',
        '[["1","NaN"]]',
        '[["1",""]]',
        '[["1","2"],]',
        '["1","2"]',
        '{"1":"2"}',
        "nan",
        None,
    ],
)
def test_json_that_is_no_list_of_levels_is_refused(tmp_path: Path, text: str | None) -> None:
    frame = json_levels(TALL).with_columns(
        a=pl.when(pl.col("tm") == pl.col("tm").max()).then(pl.lit(text)).otherwise("a")
    )
    assert "expected JSON" in refusal_of("json_level_files", write(frame, tmp_path / "odd.parquet"))


def test_json_numbers_and_empty_sides_are_read(tmp_path: Path) -> None:
    frame = json_levels(TALL).with_columns(b=pl.lit(' [ [100, 2.5e0] , ["99.5","0"] ] '), a=pl.lit("[]")).head(1)

    rows = source("json_level_files", write(frame, tmp_path / "j.parquet")).extract(ABC, DAY, 0)

    assert rows.select("bid_price", "bid_quantity", "ask_price").rows() == [(100.0, 2.5, None), (99.5, 0.0, None)]


def test_declared_sizes_are_refused_unread(tmp_path: Path) -> None:
    rows = 3_000_000
    repeated = pl.DataFrame({"ts": pl.repeat(0, rows, eager=True), **dict.fromkeys(PLAIN_NAMES, 1.0), "level": 0})
    path = write(repeated.with_columns(batch_id=0), tmp_path / "bomb.parquet")
    assert path.stat().st_size < 200_000

    assert f"declares {rows} rows" in refusal_of("tall_files", path)
    assert "raise max_rows or max_file_bytes" in refusal_of(
        "tall_files", path, max_rows=rows, max_file_bytes=10_000_000
    )


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".zip"])
def test_bombs_are_refused(tmp_path: Path, suffix: str) -> None:
    path = compress(b"ts,level\n" + b"0,0\n" * 5_000_000, tmp_path / f"bomb.csv{suffix}")

    assert "larger than" in refusal_of("tall_files", path)
    assert "larger than 1000000 bytes" in refusal_of(
        "tall_files", path, max_file_bytes=1_000_000, max_compression_ratio=1e9
    )


def test_a_trailer_that_lies_does_not_help_a_bomb(tmp_path: Path) -> None:
    content = gzip.compress(b"0,0\n" * 1_000_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(content[:-4] + struct.pack("<I", 10))

    refusal_of("tall_files", path, max_file_bytes=1_000_000)
    path.write_bytes(gzip.compress(b"0,0\n")[:-4] + struct.pack("<I", 1 << 31))
    assert "larger than" in refusal_of("tall_files", path), "what is declared is believed before anything is read"


def test_many_rows_in_text_are_refused(tmp_path: Path) -> None:
    path = compress(CSV.encode(), tmp_path / "long.csv")
    assert "holds 20 rows, allowed are 19" in refusal_of("tall_files", path, max_rows=19)


def test_archives_of_several_files_and_encrypted_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("b.csv", CSV)
    assert "holds 2 files, expected one" in refusal_of("tall_files", path)
    with zipfile.ZipFile(path, "w"):
        pass
    assert "holds 0 files" in refusal_of("tall_files", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", CSV)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    assert "encrypted" in refusal_of("tall_files", path)


def test_a_checksum_beside_the_file_is_kept(tmp_path: Path) -> None:
    path = write(with_epoch(TALL), tmp_path / "day.csv")
    stated = path.with_name("day.csv.CHECKSUM")

    stated.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  day.csv\n")
    assert source("tall_files", tmp_path).extract(ABC, DAY, 0).equals(TALL)
    stated.write_text(f"{'0' * 64}  day.csv\n")
    assert "day.csv.CHECKSUM states 0000" in refusal_of("tall_files", path)


def test_an_archive_of_another_symbol_is_refused(tmp_path: Path) -> None:
    path = write(book_ticker(TALL), tmp_path / "XYZUSDT-bookTicker-2024-03-05.zip")
    with pytest.raises(SourceError, match="holds XYZUSDT, the instrument's symbol is ABCUSDT"):
        source("binance_book_ticker", path).extract(ABC, DAY, 0)


def test_a_side_that_is_neither_is_refused(tmp_path: Path) -> None:
    path = write(sided(TALL), tmp_path / "sides.parquet")
    assert "holds ['a'], expected 'b' and 'ask'" in refusal_of("tall_files", path, layout={**SIDED, "ask": "ask"})


def test_a_file_without_header_needs_names(tmp_path: Path) -> None:
    path = compress(CSV.split("\n", 1)[1].encode(), tmp_path / "bare.csv")

    assert "has no header and 7 columns, headerless_columns names 0" in refusal_of("tall_files", path)
    rows = source("tall_files", path, headerless_columns=TALL.columns).extract(ABC, DAY, 0)
    assert rows.equals(TALL)


def test_missing_files_and_unknown_instruments_are_named(tmp_path: Path) -> None:
    assert "2024-03-05.csv: there is none" in refusal_of_missing(tmp_path / "{day}.csv")
    assert "there is none" in refusal_of_missing(tmp_path / "*.csv")
    with pytest.raises(SourceError, match="no file is configured"):
        source("tall_files", tmp_path, files={}).extract(ABC, DAY, 0)
    with pytest.raises(ConfigError, match="unknown instruments XYZ"):
        source("tall_files", tmp_path, files={"XYZ": "x.csv"})


def refusal_of_missing(path: Path) -> str:
    with pytest.raises(SourceError) as refusal:
        source("tall_files", path).extract(ABC, DAY, 0)
    return str(refusal.value)


def test_zstd_in_several_frames_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "frames.csv.zst"
    middle = len(CSV) // 2
    path.write_bytes(
        b"".join(pa.compress(part.encode(), codec="zstd", asbytes=True) for part in (CSV[:middle], CSV[middle:]))
    )
    assert source("tall_files", path).extract(ABC, DAY, 0).equals(TALL)
