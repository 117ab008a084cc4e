"""A day of the grid to the moments of the quantities in each of its slots."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.measure import OURS, Benchmark
from trademl_assets.grid.gaps import OBSERVED
from trademl_assets.long_term.level_moments import aggregate_levels, sum_quantities
from trademl_assets.long_term.parameters import LevelGroup

STEPS, SLOTS, INSTRUMENTS = 8_640, 60, 2  # 240 columns of quantities: two sides
GROUPS = tuple(
    LevelGroup(name=name, first_slot=first, last_slot=last)
    for name, first, last in (("near", 0, 10), ("middle", 10, 50), ("bins", 50, 60))
)
DAY = date(2024, 1, 1)


def benchmark(_folder: Path) -> Benchmark:
    """Make a day of half-precision codes, as the grid stores it; the peers get it decoded beforehand, for nothing."""
    random = np.random.default_rng(1)
    book = np.log1p(random.lognormal(0.0, 1.0, (STEPS, SLOTS, INSTRUMENTS * 4))).astype(np.float16)
    state = np.full((STEPS, INSTRUMENTS), OBSERVED, dtype=np.uint8)
    quantities = np.expm1(book[:, :, 1::2].astype(np.float64)).reshape(STEPS, -1)
    singles = quantities.astype(np.float32)
    names = tuple(f"INSTRUMENT{number}" for number in range(INSTRUMENTS))
    return Benchmark(
        name="daily_moments",
        contenders={
            OURS: lambda: np.stack(sum_quantities(book, state, ()).moments.described()).reshape(4, -1),
            "ours_whole_table": lambda: aggregate_levels({"book": book, "state": state}, names, DAY, GROUPS),
            "scipy": lambda: with_scipy(quantities),
            "scipy_single_precision": lambda: with_scipy(singles),
        },
        promises={"scipy": 0.1},
        agree=agree,
        rounds=15,
    )


def with_scipy(quantities: NDArray[Any]) -> NDArray[Any]:
    """Mean, standard deviation, skewness and kurtosis of every column, vectorised."""
    return np.stack(
        [quantities.mean(axis=0), quantities.std(axis=0), stats.skew(quantities), stats.kurtosis(quantities)]
    )


def agree(results: Mapping[str, Any]) -> None:
    """All values are equal to a billionth; in single precision scipy keeps three digits."""
    np.testing.assert_allclose(results[OURS], results["scipy"], rtol=1e-9)
    np.testing.assert_allclose(results[OURS], results["scipy_single_precision"], rtol=1e-3)
    np.testing.assert_equal(results["ours_whole_table"].height, INSTRUMENTS * 2 * len(GROUPS))
