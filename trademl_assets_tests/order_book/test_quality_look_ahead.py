"""No verdict on a snapshot looks at a later one; verdicts on whole days and the flags of prices do, and say so."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from trademl_assets.order_book.ordering import instants_us, snapshot_offsets
from trademl_assets.order_book.quality import clean_tall_rows
from trademl_assets.order_book.verdicts import judge_snapshots, resolve_duplicates
from trademl_assets_tests.order_book.books import DAY
from trademl_assets_tests.order_book.corruptions import CORRUPTIONS, STEP_SECONDS, TOLERANT, freeze, random_book
from trademl_assets_tests.order_book.corruptions import send_again as again

SNAPSHOTS = 150
CUTS = np.random.default_rng(5).choice(np.arange(1, SNAPSHOTS - 1), 60, replace=False).tolist()


def spoilt_book(seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    tall = random_book(seed, SNAPSHOTS, lead_in=10)
    begin = tall["ts"].min()
    spoils = [*(each.spoil for each in CORRUPTIONS.values()), freeze, freeze, freeze, again]
    places = random.choice(SNAPSHOTS - 10, len(spoils), replace=False)
    for place, number in zip(np.sort(places), random.permutation(len(spoils)), strict=True):
        tall = spoils[number](tall, begin + timedelta(seconds=STEP_SECONDS * int(place)))
    return tall


def judged(tall: pl.DataFrame) -> pl.DataFrame:
    rows = resolve_duplicates(tall.sort("ts", "level", maintain_order=True)).rows
    offsets = snapshot_offsets(instants_us(rows))
    found = judge_snapshots(offsets, rows, 60_000_000, 60_000_000)
    return pl.DataFrame({"ts": rows["ts"].gather(offsets[:-1]), "verdict": found.verdicts, "stuck": found.stuck})


@pytest.mark.parametrize("cut", CUTS)
def test_what_comes_after_a_cut_changes_no_verdict_up_to_it(cut):
    book, other = spoilt_book(1), spoilt_book(2)
    until = pl.col("ts") <= book["ts"].min() + timedelta(seconds=STEP_SECONDS * cut)
    changed = pl.concat([book.filter(until), other.filter(~until)])

    before, after = judged(book), judged(changed)
    rows, _ = clean_tall_rows(book, "BTCUSDT", DAY, TOLERANT)
    changed_rows, _ = clean_tall_rows(changed, "BTCUSDT", DAY, TOLERANT)
    cut_rows, _ = clean_tall_rows(book.filter(until), "BTCUSDT", DAY, TOLERANT)

    assert_frame_equal(after.filter(until), before.filter(until))
    assert_frame_equal(changed_rows.filter(until), rows.filter(until))
    assert_frame_equal(cut_rows, rows.filter(until))


def test_the_book_of_the_cuts_has_all_verdicts():
    found = judged(spoilt_book(1))

    assert found["verdict"].n_unique() == 6
    assert found["stuck"].sum() >= 2
