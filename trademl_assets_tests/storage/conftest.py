"""A store below a temporary folder, and a partition with every form of file."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trademl_assets.storage.commit import ArtifactStore, Provenance

ASSET, PARTITION = "book_snapshots", "2024-01-01|BTCUSDT"
PROVENANCE = Provenance(code_version="1", config_fingerprint="c", upstream={"raw_depth/2024-01-01|BTCUSDT": "u"})


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.at(tmp_path / "store")


def frame(version: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(version)
    return pl.DataFrame({"ts": np.arange(500), "mid": rng.normal(100, 1, 500), "venue": ["binance"] * 500})


def arrays(version: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(version)
    return {
        "book": rng.normal(size=(100, 6, 4)).astype(np.float16),
        "mid": rng.normal(size=(100, 2)),
        "state": rng.integers(0, 3, (100, 2)).astype(np.uint8),
        "flag": rng.integers(0, 2, 100).astype(bool),
        "nothing": np.zeros((0, 3), np.float32),
    }


def write_version(store: ArtifactStore, version: int = 0, run_id: str = "", partition: str = PARTITION) -> None:
    provenance = Provenance("1", "c", PROVENANCE.upstream, run_id)
    with store.write(ASSET, partition, schema_version=1, provenance=provenance) as writer:
        writer.table("data", frame(version))
        writer.arrays("arrays", arrays(version))
        writer.json("facts", {"version": version})
        writer.text("page", f"<p>{run_id}</p>", hashed=False)
        writer.rows(500)
        writer.note("dropped", version)


def folder_of(store: ArtifactStore) -> Path:
    return store.layout.partition_folder(ASSET, PARTITION)


def assert_whole(store: ArtifactStore, version: int) -> None:
    assert store.read_table(ASSET, PARTITION).equals(frame(version))
    assert store.read_json(ASSET, PARTITION, "facts") == {"version": version}
    mapped = store.open_arrays(ASSET, PARTITION)
    for name, expected in arrays(version).items():
        np.testing.assert_array_equal(mapped[name], expected)


def files_in(store: ArtifactStore) -> set[str]:
    return {path.name for path in store.layout.partition_folder(ASSET, PARTITION).iterdir()}


def files_named(store: ArtifactStore) -> set[str]:
    return {entry.file for entry in store.require(ASSET, PARTITION).files.values()} | {"manifest.json", ".lock"}
