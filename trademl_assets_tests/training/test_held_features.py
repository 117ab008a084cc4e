"""Step features held whole where training happens are those of the host, and are held only where they fit."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.held_features import HeldFeatures, held_where
from trademl_assets.training.member import TrainedMember, build_network, train_member
from trademl_assets_tests.training.conftest import model_of, training_of

CPU = torch.device("cpu")


def feed_of(dataset: Dataset, inputs: ModelInputs, *, mirrored: bool = False) -> SegmentFeed:
    return SegmentFeed(dataset, build_network(model_of(mirrored=mirrored), inputs))


def test_batches_of_held_features_equal_those_of_the_host(dataset: Dataset, inputs: ModelInputs) -> None:
    feed = feed_of(dataset, inputs)
    stretches = feed.stretches("validation", on_stride_only=True)[:3]
    expected = feed.batch(stretches)
    feed.hold(feed.days(stretches), CPU)
    found = feed.batch(stretches)
    for field in fields(expected):
        value = getattr(expected, field.name)
        if isinstance(value, Tensor):
            assert torch.equal(getattr(found, field.name), value), field.name
    assert isinstance(feed.features, HeldFeatures)
    feed.release()
    assert feed.features is feed.daily


def test_days_that_are_not_held_are_refused(dataset: Dataset, inputs: ModelInputs) -> None:
    feed = feed_of(dataset, inputs)
    feed.hold(np.asarray([1, 2]), CPU)
    out = torch.empty(20, feed.features.width)
    steps = dataset.steps_per_day
    feed.features.copy(2 * steps - 10, 2 * steps + 10, out)
    assert torch.equal(out, feed.daily.read(2 * steps - 10, 2 * steps + 10))
    with pytest.raises(ConfigError, match="does not hold days 2 to 3"):
        feed.features.copy(3 * steps - 10, 3 * steps + 10, out)


def test_training_from_held_features_gives_the_same_bits(dataset: Dataset, inputs: ModelInputs, tmp_path: Path) -> None:
    def trained(place: str) -> TrainedMember:
        feed = feed_of(dataset, inputs)
        training = training_of(step_features_on=place, max_epochs=1)
        return train_member(model_of(), inputs, feed, training, seed=1, folder=tmp_path / place)

    host, held = trained("host"), trained("device")
    assert host.epochs == held.epochs
    for name, weights in host.network.state_dict().items():
        assert torch.equal(weights, held.network.state_dict()[name])


def test_they_are_held_on_cards_where_they_fit_and_nowhere_by_themselves(dataset: Dataset, inputs: ModelInputs) -> None:
    source, days = feed_of(dataset, inputs).daily, np.asarray([0, 1])
    assert not held_where("auto", source, days, CPU, share=1.0, workers=0)
    assert not held_where("host", source, days, CPU, share=1.0, workers=0)
    assert held_where("device", source, days, CPU, share=1.0, workers=0)
    with pytest.raises(ConfigError, match="features of 2 days take"):
        held_where("device", source, days, CPU, share=1e-12, workers=0)
    with pytest.raises(ConfigError, match="laid by 2 other processes"):
        held_where("device", source, days, CPU, share=1.0, workers=2)


def test_a_card_holds_them_by_itself_unless_they_are_too_many(
    dataset: Dataset, inputs: ModelInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, card = feed_of(dataset, inputs).daily, torch.device("cuda", 0)
    day_bytes = source.day(0).nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (4 * day_bytes, 8 * day_bytes))
    assert held_where("auto", source, np.asarray([0, 1]), card, share=0.5, workers=0)
    assert not held_where("auto", source, np.asarray([0, 1, 2]), card, share=0.5, workers=0)
    assert not held_where("auto", source, np.asarray([0, 1]), card, share=0.5, workers=1)
