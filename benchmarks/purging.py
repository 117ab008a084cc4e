"""Ten million label spans: their mean uniqueness and the block of each, in one go."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.measure import OURS, Benchmark
from trademl_assets.datasets.splits import Block, assign_blocks
from trademl_assets.datasets.uniqueness import mean_uniqueness

LABELS = 10_000_000
SECOND_US = 1_000_000
STEP_US, SHORTEST_US, LONGEST_US = 10 * SECOND_US, 60 * SECOND_US, 1_800 * SECOND_US
EMBARGO_SECONDS = 86_400
PARTS = ("train", "validation", "train", "calibration", "test")


def benchmark(_folder: Path) -> Benchmark:
    """Make labels of random length every ten seconds, three years long, and blocks across them."""
    random = np.random.default_rng(1)
    t0 = np.arange(LABELS, dtype=np.int64) * STEP_US
    t1 = t0 + random.integers(SHORTEST_US, LONGEST_US, LABELS)
    bounds = np.linspace(0, LABELS * STEP_US, len(PARTS) + 1).astype(np.int64).tolist()
    blocks = tuple(Block(part, *span) for part, *span in zip(PARTS, bounds[:-1], bounds[1:], strict=True))

    def ours() -> tuple[NDArray[np.float64], NDArray[np.int16]]:
        return mean_uniqueness(t0, t1), assign_blocks(t0, t1, blocks, EMBARGO_SECONDS).block

    return Benchmark(
        name="purging_of_10_million",
        contenders={
            OURS: ours,
            "polars": lambda: with_polars(t0, t1, blocks),
        },
        promises={"polars": 1.0},
        agree=agree,
        rounds=5,
    )


def with_polars(
    t0: NDArray[np.int64], t1: NDArray[np.int64], blocks: tuple[Block, ...]
) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """The same by sorted events, cumulative sums and as-of joins."""
    events = (
        pl.concat(
            [
                pl.LazyFrame({"at": t0, "change": pl.repeat(1, len(t0), dtype=pl.Int64, eager=True)}),
                pl.LazyFrame({"at": t1, "change": pl.repeat(-1, len(t1), dtype=pl.Int64, eager=True)}),
            ]
        )
        .sort("at")
        .with_columns(count=pl.col("change").cum_sum().shift(1, fill_value=0), apart=pl.col("at").diff().fill_null(0))
        .with_columns(share=pl.when(pl.col("count") > 0).then(pl.col("apart") / pl.col("count")).otherwise(0.0))
        .select("at", pl.col("share").cum_sum().alias("integral"))
        .collect()
        .unique("at", keep="last", maintain_order=True)
    )
    at, integral = events["at"].to_numpy(), events["integral"].to_numpy()
    shared = integral[np.searchsorted(at, t1)] - integral[np.searchsorted(at, t0)]
    of_block = pl.DataFrame(
        {
            "first": [block.first_us for block in blocks],
            "last": [block.last_us for block in blocks],
            "number": pl.Series(range(len(blocks)), dtype=pl.Int16),
            "train": [block.part == "train" for block in blocks],
            "free": [0, *(b.last_us + EMBARGO_SECONDS * SECOND_US * (b.part != "train") for b in blocks[:-1])],
        }
    )
    placed = pl.DataFrame({"t0": t0, "t1": t1}).join_asof(of_block, left_on="t0", right_on="first")
    kept = (pl.col("t1") <= pl.col("last")) & ~(pl.col("train") & (pl.col("t0") < pl.col("free")))
    block = placed.select(pl.when(kept).then("number").otherwise(pl.lit(-1, pl.Int16)))["number"].to_numpy()
    return shared / (t1 - t0), block


def agree(results: Mapping[str, Any]) -> None:
    """Both give the same blocks, and the same uniqueness to a millionth."""
    np.testing.assert_array_equal(results[OURS][1], results["polars"][1])
    np.testing.assert_allclose(results[OURS][0], results["polars"][0], rtol=1e-6)
