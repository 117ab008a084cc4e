import struct
from datetime import timedelta

import pytest

from trademl_assets.order_book.certificate import CertificateParameters, certify_day
from trademl_assets.order_book.certificate_plots import draw_certificate
from trademl_assets.order_book.compression import compress_day
from trademl_assets.order_book.plots import draw_day_heatmap, draw_raw_day
from trademl_assets_tests.order_book.books import COMPRESSION, DAY, INSTRUMENT, MIDNIGHT, compression, steady_day


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


@pytest.mark.parametrize("seconds", [0, 86_399], ids=["first second", "last second"])
def test_a_single_instant_anywhere_in_the_day_is_drawn(seconds):
    rows = steady_day(1, first=MIDNIGHT + timedelta(seconds=seconds))
    frame = compress_day(rows, INSTRUMENT, DAY, COMPRESSION, None).snapshots

    assert draw_day_heatmap(frame, "BTCUSDT", DAY) != draw_day_heatmap(frame.clear(), "BTCUSDT", DAY)
    assert draw_raw_day(rows, "BTCUSDT", DAY) != draw_raw_day(rows.clear(), "BTCUSDT", DAY)


@pytest.mark.parametrize("snapshots", [0, 500])
def test_a_certificate_is_drawn_as_a_png_equal_every_time(snapshots):
    limits = ("near_price_error_ticks", "bin_price_error_ticks", "depth_error_share", "cost_error_bps")
    measured = CertificateParameters(
        depth_bands_bps=(10.0, 40.0), order_sizes=(1.0, 900.0), **{f"max_{name}": None for name in limits}
    )
    rows = steady_day(snapshots, levels=8)
    drawn = []
    for kept in (compression(8, 100.0), compression(2, 100.0)):
        certificate = certify_day(rows, compress_day(rows, INSTRUMENT, DAY, kept, None), INSTRUMENT, DAY, measured)
        drawn.append(draw_certificate(certificate, "BTCUSDT", DAY))

    assert drawn[-1] == draw_certificate(certificate, "BTCUSDT", DAY)
    assert struct.unpack(">II", drawn[0][16:24]) == (760, 350)
    assert (drawn[0] == drawn[1]) == (snapshots == 0)
