"""Summaries of windows are what a plain computation gives, and know nothing that lies after the decision."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.stored_streams import StoredStreams
from trademl_assets.datasets.window_summaries import SummaryParameters, summarise_windows
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.storage.commit import ArtifactStore

PARAMETERS = SummaryParameters(
    book_bands=2,
    book_looks=3,
    book_spans_seconds=(60, 600, 10**9),
    return_spans_seconds=(300, 7200),
    long_term_spans_days=(1, 3, 99),
)
BOOK, PRICE, DAYS, CLOCK = 4 * 2 * 2, 2 * (2 * 2 + 4), 2 * 3 * 2, 11


@pytest.fixture
def dataset(filled_store: ArtifactStore, example_parts: DatasetParts) -> Dataset:
    return open_dataset(filled_store, "example")


class Replaced:
    """The stored streams with all that lies after a decision replaced by noise."""

    def __init__(self, stored: StoredStreams, dataset: Dataset, step: int, rng: np.random.Generator) -> None:
        self._stored, self._dataset, self._step, self._rng = stored, dataset, step, rng

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stored, name)

    def file(self, stream: str, number: int) -> np.ndarray:
        values = np.array(self._stored.file(stream, number))
        end = int(self._dataset.window_ends(stream, np.array([self._step]))[0])
        place = np.arange(len(values)) + number * self._stored.file_rows(stream)
        values[place >= end] = self._rng.normal(5.0, 3.0, values[place >= end].shape)
        return values


def test_nothing_after_the_decision_changes_a_summary(dataset: Dataset) -> None:
    rng = np.random.default_rng(0)
    for row in rng.choice(len(dataset), 12, replace=False):
        asked = dataset.index[[int(row)]]
        before = summarise_windows(dataset, asked, PARAMETERS)
        other = open_dataset(dataset._store, "example")
        other.stored = Replaced(other.stored, other, asked["step"][0], rng)  # type: ignore[misc]  # a cached property
        assert summarise_windows(other, asked, PARAMETERS).tobytes() == before.tobytes()
        later = asked.with_columns(step=pl.col("step") + 60)
        assert (summarise_windows(other, later, PARAMETERS) != summarise_windows(dataset, later, PARAMETERS)).any()


def test_summaries_are_trailing_means_of_the_streams(dataset: Dataset) -> None:
    rows = dataset.index.filter(pl.col("part") == "test")[[3, 40, 100]]
    found = summarise_windows(dataset, rows, PARAMETERS)
    assert found.shape == (3, 2 + BOOK + PRICE + CLOCK + DAYS)
    for row, step in zip(found, rows["step"].to_list(), strict=True):
        assert row[:2] == pytest.approx([1.0, step % 1440 / 1440])
        book = dataset.gather("book", step - 9, step + 1).astype(np.float64).reshape(10, 5, 2, 4)
        bid, ask = book[..., 1], book[..., 3]
        present = (bid > 0) & (ask > 0)
        gap, count = np.where(present, bid - ask, 0.0), np.maximum(np.add.reduceat(present, [0, 2], axis=1), 1)
        bands = np.add.reduceat(gap, [0, 2], axis=1) / count
        assert row[2:6] == pytest.approx(bands[-1].ravel(), rel=1e-4)
        assert row[6:10] == pytest.approx(bands[[9, 5, 0]].mean(axis=0).ravel(), rel=1e-4, abs=1e-6)
        price = dataset.gather("price", step - 119, step + 1).astype(np.float64).reshape(120, 2, 5)[:, 1]
        returns, sigma = price[:, 0] * np.exp(price[:, 1]), np.exp(price[-1, 1])
        expected = [returns[-5:].sum() / sigma / np.sqrt(5), np.sqrt((returns[-5:] ** 2).mean()) / sigma]
        place = 2 + BOOK + PRICE // 2
        assert row[place : place + 2] == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert row[place + 4 : place + 8] == pytest.approx(price[-1, 1:])
        days = dataset.long_term(step // 1440).astype(np.float64)
        expected = [days[-1].ravel(), days.mean(axis=0).ravel()]
        assert row[-CLOCK - DAYS : -CLOCK] == pytest.approx(np.concatenate(expected), rel=1e-5)
        assert row[-CLOCK:] == pytest.approx(dataset.gather("clock", step, step + 1)[0])
