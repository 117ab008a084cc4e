"""Details of single formats: clocks are rounded up, depths are the venue's, absent numbers are absent."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from trademl_assets_tests.sources.events.cryptofeed_files import coinbase, kraken
from trademl_assets_tests.sources.events.event_files import books_of, build, instrument, lob_capture, tardis
from trademl_assets_tests.sources.events.evolutions import DAY, DAY_MS, evolution_of
from trademl_assets_tests.sources.events.written_lines import DAYS, write_gzip

WHOLE_SECONDS = evolution_of(500, 7, [(500, [(0, "99.50", "8")]), (1500, [(0, "99.50", "9")])])
"""Changes at exactly 1 s and 2.5 s."""


def books(kind: str, capture: dict[str, Any], market: str = "spot", **overrides: Any) -> dict[int, Any]:
    of = instrument(market)
    return books_of(build(kind, of, capture, **overrides).extract(of, DAY, 0))


def replace_in(path: str, old: str, new: str) -> None:
    text = gzip.decompress(Path(path).read_bytes()).decode()
    assert old in text
    write_gzip(Path(path), text.replace(old, new).splitlines())


@pytest.mark.parametrize(("late", "best"), [("", 8.0), ("0000000", 8.0), ("0000001", 1.0)])
def test_a_cryptofeed_message_a_moment_after_an_instant_is_not_in_it(tmp_path: Path, late: str, best: float) -> None:
    capture = coinbase(tmp_path, WHOLE_SECONDS)
    second = DAY_MS // 1000 + 1
    replace_in(capture["streams"][0], f"{second}.000: ", f"{second}.{late or '000'}: ")

    assert books("cryptofeed_capture", capture)[1][0] == [(99.5, best)]


@pytest.mark.parametrize(("nanoseconds", "best"), [(0, 8.0), (1, 1.0)])
def test_a_csv_message_a_nanosecond_after_an_instant_is_not_in_it(
    tmp_path: Path, nanoseconds: int, best: float
) -> None:
    capture = lob_capture(tmp_path, WHOLE_SECONDS)
    second = DAY_MS // 1000 + 1
    replace_in(capture["messages"], f"{second},0,spot", f"{second},{nanoseconds},spot")

    assert books("binance_lob_capture", capture)[1][0] == [(99.5, best)]


def test_kraken_levels_beyond_the_subscribed_depth_are_forgotten(tmp_path: Path) -> None:
    """Kraken tells of the best level alone; what was pushed out of the depth may be gone when room is made again."""
    moving = evolution_of(500, 7, [(700, [(0, "99.00", "2")]), (1000, [(1, "100.50", "3")])])
    capture = kraken(tmp_path, moving)
    replace_in(capture["streams"][0], "book-10", "book-1")
    # The checksums were made of deeper books.
    text = gzip.decompress(Path(capture["streams"][0]).read_bytes()).decode().splitlines()
    lines = []
    for line in text:
        clock, _, message = line.partition(": ")
        if '"c"' in message:
            continue
        lines.append(f"{clock}: {message}" if message else line)
    start = json.loads(lines[-1].partition(": ")[2])
    lines.append(f"{DAY_MS // 1000 + 2}.5: {json.dumps(start)}")
    write_gzip(Path(capture["streams"][0]), lines)

    assert books("cryptofeed_capture", capture)[1] == ([(99.5, 1.0)], [(100.5, 2.0)])


def test_a_depth_csv_without_previous_numbers_warms_up_on_spot(tmp_path: Path) -> None:
    header = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"
    rows = [f"ABCUSDT,{DAY_MS + 400 * step},{step},{step},b,set,99.50,{step},-1" for step in range(10, 16)]
    capture = {"snapshots": None, "updates": write_gzip(tmp_path / "updates.csv.gz", [header, *rows]), **DAYS}

    shown = books("binance_depth_csv", capture, without_initial_book="warm_up")

    assert shown == {4: ([(99.5, 10.0)], []), 5: ([(99.5, 12.0)], []), 6: ([(99.5, 15.0)], [])}


def test_a_message_that_is_cut_by_a_block_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = tardis(tmp_path, WHOLE_SECONDS)
    whole = books("tardis_incremental", capture)
    monkeypatch.setattr("trademl_assets.sources.events.csv_blocks.csv_blocks.__defaults__", (1,))

    assert books("tardis_incremental", capture) == whole
