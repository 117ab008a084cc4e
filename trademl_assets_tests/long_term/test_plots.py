import struct
from datetime import timedelta

import polars as pl
import pytest

from trademl_assets.long_term.plots import draw_aggregates, draw_regimes
from trademl_assets.long_term.regimes import classify_regime
from trademl_assets_tests.long_term.test_regimes import FIRST, PARAMETERS, aggregates


@pytest.mark.parametrize("days", [0, 1, 20])
def test_days_are_drawn_as_pngs_equal_every_time(days):
    frame = aggregates([40.0] * days, [100.0] * days)
    regimes = pl.concat(
        [classify_regime(frame, FIRST + timedelta(days=number), PARAMETERS) for number in range(max(days, 1))]
    )

    for draw in (lambda: draw_aggregates(frame), lambda: draw_regimes(frame, regimes, "AAA")):
        png = draw()
        assert png.startswith(b"\x89PNG")
        assert struct.unpack(">I", png[16:20]) == (500,)
        assert png == draw()
