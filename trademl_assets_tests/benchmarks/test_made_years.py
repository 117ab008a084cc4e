"""The networks of the years read what their names say."""

from pathlib import Path

import pytest

from benchmarks import training_flat_year
from benchmarks.made_dataset import ASSETS, STEPS_PER_DAY, made_dataset
from benchmarks.made_network import RECIPE, demo_network
from benchmarks.measure import SkippedError
from trademl_assets.models.inputs import inputs_of
from trademl_assets.models.registry import ModelParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.member import build_network


def test_a_flat_year_is_as_large_as_its_network_reads(tmp_path: Path) -> None:
    inputs = inputs_of(made_dataset(ArtifactStore.at(tmp_path), 2, RECIPE))
    widths = {
        book: build_network(
            ModelParameters(family="dual_channel", parameters=demo_network("window", book)), inputs
        ).step_features.width
        for book in ("bands", "flat")
    }
    assert widths["flat"] == 1743 == training_flat_year.BYTES_PER_DAY // (2 * STEPS_PER_DAY)
    assert widths["bands"] == ASSETS * (6 * 2 + 9)


def test_a_flat_year_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_flat_year, "BYTES_PER_DAY", 10**12)
    with pytest.raises(SkippedError, match=r"it needs 438000\.0 GB of disk"):
        training_flat_year.benchmark(tmp_path)
