"""Fixtures shared by all rooms."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Folder of real market data: TRADEML_TEST_DATA, else `shared/data` beside the checkout."""
    folder = Path(os.environ.get("TRADEML_TEST_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real market data at {folder}; set TRADEML_TEST_DATA")
    return folder


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
