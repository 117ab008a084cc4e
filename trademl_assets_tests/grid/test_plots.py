import struct

import pytest

from trademl_assets.grid.alignment import align_assets
from trademl_assets.grid.plots import draw_grid_day, sketch_grid_day
from trademl_assets_tests.grid.markets import DAY, grid_parameters, instruments, snapshots_at


@pytest.mark.parametrize(("cadence", "count"), [(1, 1), (10, 3), (60, 7)])
def test_a_day_is_drawn_as_a_png_equal_every_time_and_higher_with_more_instruments(cadence, count):
    names = [f"ASSET{number}" for number in range(count)]
    snapshots = {name: snapshots_at(range(0, 9_000, 10)) for name in names[:-1]} | {names[-1]: snapshots_at([])}
    parameters = grid_parameters(cadence_seconds=cadence, max_gap_seconds=60)
    grid = align_assets(snapshots, instruments(*names), DAY, parameters)

    png = draw_grid_day(grid)

    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (900, 400 + 24 * count)
    assert png == draw_grid_day(grid)
    sketch = sketch_grid_day(grid)
    assert struct.unpack(">II", sketch.png[16:24]) == (480, 120 + 4 + 6 * count)
    assert sketch == sketch_grid_day(grid)
