import struct

import pytest

from trademl_assets.order_book.compression import compress_day
from trademl_assets.order_book.plots import draw_day_heatmap, draw_raw_day
from trademl_assets_tests.order_book.books import COMPRESSION, DAY, INSTRUMENT, steady_day


@pytest.mark.parametrize("snapshots", [0, 1, 500])
def test_a_day_is_drawn_as_a_png_equal_every_time(snapshots):
    frame = compress_day(steady_day(snapshots), INSTRUMENT, DAY, COMPRESSION, None).snapshots

    png = draw_day_heatmap(frame, "BTCUSDT", DAY)

    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (500, 300)
    assert png == draw_day_heatmap(frame, "BTCUSDT", DAY)
    assert b"Matplotlib" not in png


@pytest.mark.parametrize("snapshots", [0, 1, 500])
def test_tall_rows_are_drawn_as_a_png_equal_every_time(snapshots):
    rows = steady_day(snapshots)

    png = draw_raw_day(rows, "BTCUSDT", DAY)

    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (500, 300)
    assert png == draw_raw_day(rows, "BTCUSDT", DAY)
    if snapshots:
        assert png != draw_raw_day(rows.head(1), "BTCUSDT", DAY)
