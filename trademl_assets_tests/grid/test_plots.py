import struct

import pytest

from trademl_assets.grid.alignment import align_assets
from trademl_assets.grid.plots import draw_grid_day
from trademl_assets_tests.grid.markets import DAY, grid_parameters, instruments, snapshots_at


@pytest.mark.parametrize("cadence", [1, 10, 60])
def test_a_day_is_drawn_as_a_png_equal_every_time(cadence):
    snapshots = {"AAA": snapshots_at(range(0, 9_000, 10)), "BBB": snapshots_at([])}
    parameters = grid_parameters(cadence_seconds=cadence, max_gap_seconds=60)
    grid = align_assets(snapshots, instruments("AAA", "BBB"), DAY, parameters)

    png = draw_grid_day(grid)

    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (500, 320)
    assert png == draw_grid_day(grid)
