"""A sample is found by its instant, holds what was known then, and is drawn."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.sample_plots import draw_sample
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import write_experiment
from trademl_assets_tests.datasets.examples import parameters_of, stated


@pytest.fixture(scope="module")
def dataset(filled_store: ArtifactStore, example_parts: DatasetParts) -> Dataset:
    return open_dataset(filled_store, "example")


def test_a_sample_is_found_by_text_or_instant_and_holds_what_was_known(dataset: Dataset) -> None:
    sample = dataset.sample("2024-01-06T15:10")
    facts = dataset.index.row(sample.row, named=True)
    assert (sample.t0, sample.t1, sample.label) == (facts["t0"], facts["t1"], facts["label"])
    assert sample.t0.isoformat() == "2024-01-06T15:10:00+00:00"
    assert sample.t1 - sample.t0 == timedelta(seconds=dataset.horizon_seconds)
    assert sample.instrument == "FOLLOW"
    assert tuple(sample.windows) == dataset.streams
    step = facts["step"]
    assert sample.windows["book"].tobytes() == dataset.gather("book", step - 719, step + 1).tobytes()
    assert sample.windows["long_term"].tobytes() == dataset.long_term(2).tobytes()
    again = dataset.sample(datetime.fromisoformat("2024-01-06T16:10+01:00"))
    assert again.row == sample.row


def test_scaled_windows_are_clipped_and_centred(dataset: Dataset) -> None:
    raw, scaled = (dataset.sample("2024-01-06T15:10", scaled=choice) for choice in (False, True))
    assert scaled.is_scaled
    scaling = dataset.scaling("price")
    expected = np.clip((raw.windows["price"] - scaling.center) / scaling.scale, -10, 10)
    np.testing.assert_array_equal(scaled.windows["price"], expected)
    assert scaled.windows["book"].dtype == np.float32


def test_windows_are_shorter_where_the_dataset_begins(dataset: Dataset) -> None:
    first = next(iter(dataset))
    assert len(first.windows["price"]) == first.facts["step"] + 1 < dataset.lookback_steps("price")


def test_iteration_visits_a_part_in_time_order(dataset: Dataset) -> None:
    samples = list(dataset.each_sample("validation"))
    assert [sample.t0 for sample in samples] == dataset.samples("validation", on_stride_only=False)["t0"].to_list()
    assert len(dataset) == dataset.index.height == sum(1 for _ in dataset)


def test_an_instant_without_a_decision_names_the_nearest(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"no sample decided at 2024-01-06T15:11:00\+00:00.*2024-01-06T15:10:00"):
        dataset.sample("2024-01-06T15:11")
    with pytest.raises(ConfigError, match="write it as"):
        dataset.sample("noon")
    with pytest.raises(ConfigError, match="nearest are none at all"):
        dataset.sample("2024-01-06T15:10", horizon_seconds=60)
    with pytest.raises(ConfigError, match="no labels of 'LEAD' -> one of FOLLOW"):
        dataset.sample("2024-01-06T15:10", instrument="LEAD")


def test_a_sample_reads_as_sequence_indicators_and_target(dataset: Dataset) -> None:
    sample = dataset.sample("2024-01-06T15:10")
    triple = sample.as_sequence("price", "clock")
    assert triple["sequence"] is sample.windows["price"]
    assert triple["indicators"].tolist() == sample.windows["clock"][-1].tolist()
    assert triple["target"] == sample.label
    assert sample.as_sequence("price")["indicators"].shape == (0,)
    with pytest.raises(ConfigError, match="no stream 'bars' -> one of book"):
        sample.as_sequence("bars")


def test_a_sample_is_drawn_the_same_each_time(dataset: Dataset) -> None:
    row = dataset.sample("2024-01-06T15:10").row
    picture = draw_sample(dataset, row)
    assert picture.startswith(b"\x89PNG")
    assert picture == draw_sample(dataset, row)
    assert picture != draw_sample(dataset, row + 1)


def test_a_dataset_without_a_book_is_drawn_without_it(filled_store: ArtifactStore) -> None:
    values = stated()
    values["streams"] |= {"book": None, "clock": None}
    write_experiment(filled_store, "bookless", parameters_of(values))
    assert draw_sample(open_dataset(filled_store, "bookless"), 300).startswith(b"\x89PNG")
