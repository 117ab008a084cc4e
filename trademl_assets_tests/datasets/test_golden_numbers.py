"""1000 bars and sequences of 50 give 950 windows, 665 / 142 / 143 of them by 70 / 15 / 15; with purging, fewer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.candles.made_bars import at, walk
from trademl_assets_tests.datasets.candle_market import DAY, FRAME, candle_values, write_candles, write_experiment
from trademl_assets_tests.datasets.examples import parameters_of, stated

BARS, SEQUENCE = 1000, 50
FIRST = 1
"""The first bar opens at midnight and is known a minute later: sequences end with steps 50 to 999, labels at 1000."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return thousand_bars(tmp_path_factory.mktemp("golden"))


def thousand_bars(root: Path) -> ArtifactStore:
    store = ArtifactStore.at(root)
    first = at(f"{DAY.isoformat()}T00:00:00")
    write_candles(store, {"ONE": walk(first, BARS, 1), "TWO": walk(first, BARS, 2)})
    return store


def golden_values(horizon_bars: int) -> dict[str, Any]:
    """Look-back of 50 bars, every bar a decision; blocks of 70, 15 and 15 % of the 950 windows after the first 50."""
    values, example = candle_values(), stated()
    blocks = [
        {"part": "train", "length": f"PT{SEQUENCE + 665}M"},
        {"part": "validation", "length": "PT142M"},
        {"part": "test", "length": "PT143M"},
    ]
    return values | {
        "last_day": DAY.isoformat(),
        "minimum_history": f"PT{SEQUENCE}M",
        "labels": {
            **values["labels"],
            "horizons_seconds": [60 * horizon_bars],
            "decision_stride_seconds": 60,
            "training_phase_seconds": 60,
        },
        "split": {**example["split"], "blocks": blocks, "embargo_seconds": 0},
    }


def made(store: ArtifactStore, horizon_bars: int) -> DatasetParts:
    return write_experiment(store, f"golden_{horizon_bars}", parameters_of(golden_values(horizon_bars)))


def counts(parts: DatasetParts) -> list[int]:
    return [int((parts.index["part"] == part).sum()) for part in ("train", "validation", "test")]


def test_a_label_of_the_next_bar_gives_the_golden_numbers_and_purges_nothing(store: ArtifactStore):
    parts = made(store, 1)
    assert counts(parts) == [665, 142, 143]
    assert parts.index.height == BARS - SEQUENCE == 950
    assert parts.recipe["counts"]["purged"] == 0


@pytest.mark.parametrize("horizon", [2, 5, 30])
def test_a_longer_label_loses_the_windows_whose_label_reaches_into_the_next_part(store: ArtifactStore, horizon: int):
    parts = made(store, horizon)
    lost = horizon - 1
    assert counts(parts) == [665 - lost, 142 - lost, 143 - lost]
    assert parts.recipe["counts"]["purged"] == 2 * lost
    assert parts.recipe["counts"]["mid_not_observed"] == lost  # labels that end after the last bar


def test_every_sequence_is_fifty_bars_that_had_ended_by_its_decision(store: ArtifactStore):
    made(store, 1)
    dataset = open_dataset(store, "golden_1")
    steps = dataset.index["step"].to_numpy()
    assert (steps[0], steps[-1]) == (SEQUENCE, BARS - 1)
    first = int(steps[0]) - dataset.lookback_steps("bars") + 1
    assert first == FIRST
    observed = dataset.gather("mask", first, int(steps[-1]) + 1)[:, 0]
    windows = np.lib.stride_tricks.sliding_window_view(observed, SEQUENCE)
    assert windows.shape == (950, 50)
    assert windows.all()
    assert FRAME.cadence_seconds == dataset.cadence_seconds


def test_shares_of_the_windows_give_the_same_parts(store: ArtifactStore):
    values = golden_values(1)
    shares = [{"part": part, "share": share} for part, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15))]
    common = {key: value for key, value in values["split"].items() if key != "blocks"}
    values |= {
        "first_instant": f"{DAY.isoformat()}T00:50:00Z",
        "minimum_history": "PT0S",
        "split": {**common, "kind": "shares", "length": "PT950M", "resolution_seconds": 60, "shares": shares},
    }
    parts = write_experiment(store, "golden_shares", parameters_of(values))
    assert counts(parts) == [665, 142, 143]
    assert parts.index["t0"].equals(made(store, 1).index["t0"])
