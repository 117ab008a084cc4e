"""Captures of every format that cannot be trusted are refused by name of instrument, day and file."""

import gzip
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trademl_assets.foundation.errors import ConfigError, SourceError, TradeMLError
from trademl_assets_tests.sources.events.event_files import FORMATS, build, instrument
from trademl_assets_tests.sources.events.evolutions import DAY, Evolution, example
from trademl_assets_tests.sources.events.written_lines import write_gzip

MUTATIONS = 40


@pytest.fixture
def evolution() -> Evolution:
    return example()


def files_of(capture: dict[str, Any]) -> Iterator[Path]:
    for value in capture.values():
        for text in value if isinstance(value, list) else [value]:
            if str(text).endswith(".gz"):
                yield Path(text)


def refusal(name: str, capture: dict[str, Any], **limits: Any) -> str:
    kind, market, _ = FORMATS[name]
    of = instrument(market)
    with pytest.raises(SourceError) as caught:
        build(kind, of, capture, **limits).extract(of, DAY, 0)
    message = str(caught.value)
    assert "ABC on 2024-03-05" in message
    assert "->" in message, "a refusal says what to do"
    return message


@pytest.fixture(params=FORMATS)
def written(request: pytest.FixtureRequest, tmp_path: Path, evolution: Evolution) -> tuple[str, dict[str, Any]]:
    return request.param, FORMATS[request.param][2](tmp_path, evolution)


def test_truncated_gzip(written: tuple[str, dict[str, Any]]) -> None:
    name, capture = written
    for path in files_of(capture):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
        assert "gzip" in refusal(name, capture)
        path.write_bytes(content)


def test_missing_files(written: tuple[str, dict[str, Any]]) -> None:
    name, capture = written
    for path in files_of(capture):
        content = path.read_bytes()
        path.unlink()
        assert path.name in refusal(name, capture)
        path.write_bytes(content)


def test_sizes_are_capped(written: tuple[str, dict[str, Any]]) -> None:
    name, capture = written
    assert "larger than 60 bytes" in refusal(name, capture, max_file_bytes=60)
    assert "longer than 20 bytes" in refusal(name, capture, max_message_bytes=20)


def test_clocks_outside_the_stated_days(written: tuple[str, dict[str, Any]]) -> None:
    name, capture = written
    for path in files_of(capture):
        lines = gzip.decompress(path.read_bytes()).decode()
        assert "170959" in lines
        # Some other day of the same year; the stated day is asked for.
        write_gzip(path, lines.replace("170959", "170859").replace("170960", "170860").splitlines())
    assert "outside the capture's days" in refusal(name, capture)


def test_another_symbol(written: tuple[str, dict[str, Any]]) -> None:
    name, capture = written
    if name == "orders":
        return  # order events name no symbol
    kind, market, _ = FORMATS[name]
    of = instrument(market, "XYZUSDC")
    if "symbol" in capture:
        with pytest.raises(ConfigError, match="names symbol 'ABC-USDT', the instrument's is 'XYZUSDC'"):
            build(kind, of, capture)
        capture = {**capture, "symbol": "XYZ-USDC"}
    with pytest.raises(SourceError, match="ABC") as caught:
        build(kind, of, capture).extract(of, DAY, 0)
    assert "XYZ" in str(caught.value)


def test_a_day_that_no_capture_covers(written: tuple[str, dict[str, Any]]) -> None:
    name, capture = written
    assert "no capture covers the day" in refusal(
        name, {**capture, "first_day": "2024-03-06", "last_day": "2024-03-06"}
    )


def test_captures_of_an_unknown_instrument(written: tuple[str, dict[str, Any]]) -> None:
    name, capture = written
    kind, market, _ = FORMATS[name]
    source = type(build(kind, instrument(market), capture))
    parameters = build_parameters(kind, capture)
    with pytest.raises(ConfigError, match="unknown instruments ABC"):
        source(parameters, {"XYZ": instrument(market)})


def build_parameters(kind: str, capture: dict[str, Any]) -> Any:
    return build(kind, instrument(), capture)._settings


def test_damaged_text_never_raises_anything_untyped(written: tuple[str, dict[str, Any]]) -> None:
    name, capture = written
    kind, market, _ = FORMATS[name]
    of, chance = instrument(market), random.Random(name)  # noqa: S311 -- repeats the same damage every time
    source = build(kind, of, capture)
    for path in files_of(capture):
        whole = gzip.decompress(path.read_bytes())
        for _ in range(MUTATIONS):
            text = bytearray(whole)
            for _ in range(chance.randint(1, 3)):
                place = chance.randrange(len(text))
                if chance.random() < 0.5:
                    text[place] = chance.randrange(256)
                else:
                    text[place : place + chance.randint(0, 20)] = chance.choice(
                        [b"", b"null", b"[]", b"{}", b"1e999", b"9" * 23, b'""', b"-1", b"true", b"\n", b"nan"]
                    )
            path.write_bytes(text)
            with suppress(TradeMLError):
                source.extract(of, DAY, 0)
        write_gzip(path, whole.decode().splitlines())


@pytest.mark.parametrize(
    ("name", "replaced", "part"),
    [
        ("tardis", ("price,amount", "price,quantity"), "lacks the columns amount"),
        ("tardis", (",false,", ",maybe,"), "column is_snapshot holds 'maybe', expected true or false"),
        ("tardis", ("true,ask,102.00", "true,ask,1,02.00"), "changes.csv.gz, lines 4 to 4: not rows of 8 columns"),
        ("tardis", (",bid,", ",buy,"), "column side holds 'buy'"),
        ("depth csv", (",set,", ",snap,"), "column update_type holds 'snap', expected set"),
        ("depth csv", ("ABCUSDT,17", "ABCUSDT,x"), "column timestamp holds 'x"),
        ("lob capture", ("depthUpdate", "trade"), "no depthUpdate"),
        ("orders", (",created,", ",made,"), "column action holds 'made'"),
        ("orders", (",bid", ",sell"), "column direction holds 'sell'"),
        ("kraken", ('"c": "', '"c": "1'), "its checksum is"),
        ("okx", ('"checksum": ', '"checksum": 1'), "its checksum is"),
        ("okx", ('"data": [', '"data": [{}, '), "expected layout"),
        ("bybit", ('"cross_seq": "', '"cross_seq": "x'), "expected layout"),
        ("coinbase", ('["buy"', '["bought"'), "expected layout"),
        ("kraken", ("wss://ws.kraken.com", "wss://[x"), "the message came from wss://[x"),
    ],
)
def test_named_defects(tmp_path: Path, name: str, replaced: tuple[str, str], part: str) -> None:
    (find_text, put), evolution = replaced, example()
    capture = FORMATS[name][2](tmp_path, evolution)
    path = [*files_of(capture)][-1 if name == "depth csv" else 0]
    text = gzip.decompress(path.read_bytes()).decode()
    assert find_text in text or json.dumps(find_text)[1:-1].replace('\\"', '""') in text
    write_gzip(path, text.replace(find_text, put).splitlines())

    assert part in refusal(name, capture)


def test_bybit_levels_that_should_be_there_betray_a_lost_message(tmp_path: Path, evolution: Evolution) -> None:
    capture = FORMATS["bybit"][2](tmp_path, evolution)
    (path,) = files_of(capture)
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    for change, part in (("insert", "inserts the level 99.50"), ("update", "changes the level 1.25")):
        message = json.loads(lines[-1].partition(": ")[2])
        price = {"insert": "99.50", "update": "1.25"}[change]
        level = {"price": price, "symbol": "ABC-USDT", "side": "Buy", "size": 1}
        message["data"] = {"delete": [], "update": [], "insert": [], change: [level]}
        first = next(place for place, line in enumerate(lines) if '"snapshot"' in line)
        line = lines[first].partition(": ")[0] + ": " + json.dumps(message)
        write_gzip(path, [*lines[: first + 1], line, *lines[first + 1 :]])

        assert part in refusal("bybit", capture)


@pytest.mark.parametrize(
    "mistake",
    [
        {"snapshot_cadence_seconds": 7},
        {"without_initial_book": "guess"},
        {"on_gap": "ignore"},
        {"price_decimals": 16},
        {"warm_up_seconds": -1},
    ],
)
def test_impossible_parameters(tmp_path: Path, evolution: Evolution, mistake: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build("tardis_incremental", instrument(), FORMATS["tardis"][2](tmp_path, evolution), **mistake)
