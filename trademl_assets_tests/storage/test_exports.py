"""Exports for other programs."""

from pathlib import Path

import numpy as np
import pytest

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage import durable
from trademl_assets.storage.exports import write_npz

ARRAYS = {"book": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "ts": np.array([1, 2], dtype=np.int64)}


def test_numpy_reads_the_archive_without_pickle(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "new" / "folder", "BTCUSDT_2024-01-01", ARRAYS)
    assert path == tmp_path / "new" / "folder" / "BTCUSDT_2024-01-01.npz"
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive) == set(ARRAYS)
        for name, expected in ARRAYS.items():
            np.testing.assert_array_equal(archive[name], expected)
            assert archive[name].dtype == expected.dtype


def test_an_archive_broken_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(name: str) -> None:
        if name == "mid_write":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "failpoint", full)
    with pytest.raises(StorageError, match="the disk is full"):
        write_npz(tmp_path, "day", ARRAYS)
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises((StorageError, ValueError)):
        write_npz(tmp_path, "day", {"book": np.array([object()], dtype=object)})
    assert list(tmp_path.iterdir()) == []
