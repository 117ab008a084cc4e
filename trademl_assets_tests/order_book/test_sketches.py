from datetime import timedelta
from io import BytesIO

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from trademl_assets.foundation.calendar import day_bounds
from trademl_assets.order_book.compression import compress_day
from trademl_assets.order_book.plots import sketch_day_heatmap, sketch_raw_day
from trademl_assets.order_book.sketches import COLUMNS, Sheet, band_over_steps, band_over_time
from trademl_assets_tests.order_book.books import COMPRESSION, DAY, INSTRUMENT, MIDNIGHT, steady_day

RED, BLUE = "#ff0000", "#0000ff"
MOST_BYTES = 20_000


def pixels(png: bytes) -> np.ndarray:
    """(height, columns, 3) bytes of a sketch as matplotlib reads it, one pixel a column."""
    return (imread(BytesIO(png), format="png")[:, ::2, :3] * 255).astype(np.uint8)


def is_color(shown: np.ndarray, color: str) -> np.ndarray:
    return (shown == list(bytes.fromhex(color[1:]))).all(axis=-1)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(2, 40))
def test_a_line_is_drawn_in_the_columns_with_a_value_and_reaches_from_the_least_to_the_greatest(seed, known, height):
    random = np.random.default_rng(seed)
    line = np.where(random.random(COLUMNS) < known, random.normal(size=COLUMNS), np.nan)
    sheet = Sheet()
    sheet.lines([(line, line)], [RED], height)

    drawn = is_color(pixels(sheet.png()), RED)

    assert drawn.any(axis=0).tolist() == np.isfinite(line).tolist()
    if np.isfinite(line).sum() > 1:
        assert drawn[-1, np.nanargmin(line)]
        assert drawn[0, np.nanargmax(line)]


def test_a_jump_is_drawn_as_a_line_and_a_gap_is_not():
    line = np.r_[np.zeros(100), np.full(40, np.nan), np.zeros(50), np.ones(50)]
    sheet = Sheet()
    sheet.lines([(line, line)], [RED], 30)
    drawn = is_color(pixels(sheet.png()), RED).sum(axis=0)
    assert drawn[190] == 30
    assert not drawn[100:140].any()
    assert set(drawn[np.r_[0:100, 140:190, 191:240]]) == {1}


def test_bars_strips_and_heat_stand_one_below_the_other():
    sheet = Sheet()
    sheet.bars(np.linspace(0, 1, COLUMNS), BLUE, 10)
    states = np.full((2, COLUMNS), -1)
    states[1, : COLUMNS // 2] = 0
    sheet.strips(states, [RED], 3)
    heat = np.full((2, COLUMNS), np.nan)
    heat[0] = np.arange(COLUMNS)
    sheet.heat(heat, 1)

    shown = pixels(sheet.png())

    assert len(shown) == 10 + 4 + 6 + 4 + 2
    tall = is_color(shown[:10], BLUE).sum(axis=0)
    assert tall[0] == 0
    assert tall[-1] == 10
    assert np.all(np.diff(tall) >= 0)
    assert is_color(shown[14:20], RED).sum() == 3 * COLUMNS // 2
    brightness = shown[-2].sum(axis=-1, dtype=int)
    assert brightness[-1] > brightness[COLUMNS // 2] > brightness[0]
    assert is_color(shown[-1], "#ffffff").all()


@given(st.integers(1, 1_000), st.integers(0, 2**32 - 1))
def test_steps_keep_their_least_and_greatest_where_they_are_put_into_columns(steps, seed):
    values = np.random.default_rng(seed).normal(size=steps)
    low, high = band_over_steps(values)
    assert low.shape == high.shape == (COLUMNS,)
    assert (low.min(), high.max()) == (values.min(), values.max())
    assert np.all(low <= high)


def test_rows_keep_their_least_and_greatest_within_their_time_and_those_before_it_are_left_out():
    begin, end = day_bounds(DAY)
    instants = [begin - timedelta(seconds=1), begin, begin + timedelta(hours=12), end - timedelta(microseconds=1)]
    rows = pl.DataFrame({"ts": instants, "value": [9.0, 1.0, 2.0, 3.0]}).cast({"ts": pl.Datetime("us", "UTC")})
    low, high = band_over_time(rows, pl.col("value"), pl.col("value") + 1, begin, end)
    known = np.flatnonzero(np.isfinite(low))
    assert known.tolist() == [0, COLUMNS // 2, COLUMNS - 1]
    assert low[known].tolist() == [1.0, 2.0, 3.0]
    assert high[known].tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize("snapshots", [0, 1, 500])
def test_a_day_is_sketched_small_and_equal_every_time(snapshots):
    rows = steady_day(snapshots, first=MIDNIGHT + timedelta(hours=6))
    frame = compress_day(rows, INSTRUMENT, DAY, COMPRESSION, None).snapshots
    for sketch in (lambda: sketch_raw_day(rows, DAY), lambda: sketch_day_heatmap(frame, DAY)):
        png = sketch().png
        assert png == sketch().png
        assert len(png) < MOST_BYTES
        drawn = ~is_color(pixels(png), "#ffffff").all(axis=0)
        assert drawn.any() == (snapshots > 0)
        assert not drawn[: COLUMNS // 4].any()
