"""Opening looks at manifests alone, notices what changed upstream, and never mixes two versions."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.stored_streams import StoredStreams, contiguous
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.foundation.errors import CorruptArtifactError, MissingPartitionError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import PROVENANCE, make_store, write_experiment, write_grid_day
from trademl_assets_tests.datasets.examples import DAYS, FIRST, parameters_of, stated


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    made = make_store(tmp_path)
    write_experiment(made, "example", parameters_of(stated()))
    return made


def keep_manifests_and(store: ArtifactStore, keep: str) -> None:
    """Remove every file but manifests and those called so."""
    for path in store.layout.artifacts.rglob("*"):
        if path.is_file() and path.name != "manifest.json" and not path.name.startswith(keep):
            path.unlink()


def test_opening_reads_manifests_and_the_recipe_only(store: ArtifactStore) -> None:
    keep_manifests_and(store, keep="recipe")
    dataset = open_dataset(store, "example")
    assert dataset.steps == DAYS * 1440
    with pytest.raises(CorruptArtifactError, match="is gone"):
        dataset.gather("book", 0, 1)
    with pytest.raises(CorruptArtifactError, match="is gone"):
        _ = dataset.index


@pytest.mark.parametrize("asset", ["aligned_grid", "daily_aggregates", "market_regime"])
def test_any_upstream_partition_that_changed_or_is_missing_is_noticed(store: ArtifactStore, asset: str) -> None:
    with store.write(asset, "2024-01-05", schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", pl.DataFrame({"other": [1]}))
    with pytest.raises(CorruptArtifactError, match=f"{asset}/2024-01-05.*materialise dataset 'example' again"):
        open_dataset(store, "example")
    for day in ("2024-01-05", "2024-01-06"):
        store.delete(asset, day)
    with pytest.raises(MissingPartitionError, match=f"{asset}.*2024-01-05, 2024-01-06"):
        open_dataset(store, "example")


def test_a_day_rebuilt_after_opening_is_not_read_into_the_dataset(store: ArtifactStore) -> None:
    dataset = open_dataset(store, "example")
    assert dataset.gather("book", 0, 10).shape == (10, 5, 8)
    write_grid_day(store, FIRST + timedelta(days=1), seed=99)
    with pytest.raises(CorruptArtifactError, match="aligned_grid/2024-01-05"):
        dataset.gather("book", 1435, 1445)


def test_a_dataset_built_again_after_opening_is_not_mixed_with_the_opened_one(store: ArtifactStore) -> None:
    opened, read_before = open_dataset(store, "example"), open_dataset(store, "example")
    labels = read_before.index["label"]
    values = stated()
    values["sigma"]["short_window_seconds"] = 7200
    write_experiment(store, "example", parameters_of(values))
    for read in (lambda: opened.index, lambda: opened.gather("price", 0, 1), lambda: read_before.long_term(0)):
        with pytest.raises(CorruptArtifactError, match="open dataset 'example' again"):
            read()
    assert read_before.index["label"].equals(labels)
    assert open_dataset(store, "example").gather("price", 0, 1).shape == (1, 10)


def test_no_more_days_are_mapped_than_allowed_and_values_stay(store: ArtifactStore) -> None:
    dataset = open_dataset(store, "example")
    few = StoredStreams(
        store,
        "example",
        dataset.recipe["streams"],
        days=dataset.days,
        steps_per_day=1440,
        upstream=dataset.recipe["upstream"],
        content_hash=None,
        most_open_days=2,
    )
    assert few.open_days == 0
    for first in (0, 3000, 1400, 2900, 0):
        found = np.empty((100, 5, 8), np.float16)
        few.copy("book", first, first + 100, found)
        assert found.tobytes() == dataset.gather("book", first, first + 100).tobytes()
        assert few.open_days <= 2
    held = few.file("book", 3)
    for number in range(3):
        few.file("book", number)
    assert held.tobytes() == few.file("book", 3).tobytes(), "an unmapped file stays readable where it is held"


def test_columns_that_follow_one_another_need_no_copy() -> None:
    assert contiguous([4, 5, 6]) == slice(4, 7)
    positions = contiguous([0, 2])
    assert not isinstance(positions, slice)
    assert positions.tolist() == [0, 2]
