import struct
from datetime import timedelta

import polars as pl
import pytest

from trademl_assets.long_term.plots import (
    draw_aggregates,
    draw_regimes,
    sketch_aggregates,
    sketch_regimes,
    spans_of_regimes,
)
from trademl_assets.long_term.regimes import classify_regime
from trademl_assets_tests.long_term.test_regimes import FIRST, PARAMETERS, aggregates


@pytest.mark.parametrize("days", [0, 1, 20, 90])
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


@pytest.mark.parametrize("days", [1, 20])
def test_days_are_sketched_with_their_span_in_words(days):
    frame = aggregates([40.0] * days, [100.0] * days)
    regimes = pl.concat([classify_regime(frame, FIRST + timedelta(days=number), PARAMETERS) for number in range(days)])

    for sketch in (lambda: sketch_aggregates(frame), lambda: sketch_regimes(frame, regimes, "AAA")):
        assert struct.unpack(">I", sketch().png[16:20]) == (480,)
        assert sketch() == sketch()
        assert sketch().says.startswith(str(FIRST))
        assert (" to " in sketch().says) == (days > 1)


def test_days_of_one_regime_in_a_row_are_one_span():
    names = ["bull", "bull", "bear", "bull", "bull", "unknown", "bull"]
    days = [0, 1, 2, 3, 6, 7, 8]  # the fourth and the fifth are not consecutive
    frame = pl.DataFrame({"day": [FIRST + timedelta(days=day) for day in days], "regime": names})

    spans = spans_of_regimes(frame.sample(fraction=1, shuffle=True, seed=1))

    found = [(row["regime"], (row["first"] - FIRST).days, (row["last"] - FIRST).days) for row in spans.to_dicts()]
    expected = [("bull", 0, 1), ("bear", 2, 2), ("bull", 3, 3), ("bull", 6, 6), ("unknown", 7, 7), ("bull", 8, 8)]
    assert found == expected
