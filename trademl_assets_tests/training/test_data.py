import numpy as np
import pytest
import torch

from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.inputs import ModelInputs, inputs_of
from trademl_assets.training import data
from trademl_assets.training.artifact import predict_logits
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.epochs import HeldOut, Pace, Share, TrainingEpoch
from trademl_assets.training.kept_features import DailyFeatures
from trademl_assets.training.member import build_network
from trademl_assets_tests.training.conftest import model_of, model_values

ALONE = Share(0, 1)
TOKENS = ("shared_by_instruments", "token_width", "token_activation", "token_norm", "dropout")
ENCODERS = {
    "patch": model_values()["encoder"],
    "strided_convolution": {
        "kind": "strided_convolution",
        "layers": [{"channels": 4, "kernel_steps": 12, "stride_steps": 10}],
        "activation": "gelu",
        **{name: model_values()["encoder"][name] for name in TOKENS},
    },
}


def epoch(feed: SegmentFeed, number: int, seed: int = 1, size: int = 2, share: Share = ALONE) -> list[torch.Tensor]:
    stretches = feed.stretches("train", on_stride_only=False)
    return [batch.rows for batch in TrainingEpoch(feed, stretches, Pace(size), seed=seed, epoch=number, share=share)]


def test_features_are_the_networks_first_part_on_gathered_streams(feed: SegmentFeed, dataset: Dataset) -> None:
    part = build_network(model_of(), inputs_of(dataset)).step_features
    raw = {name: torch.from_numpy(dataset.gather(name, 2000, 2600)) for name in part.streams}
    torch.testing.assert_close(feed.features.read(2000, 2600), part(raw), atol=1e-6, rtol=1e-6)


def test_decisions_stand_at_their_own_steps(feed: SegmentFeed, dataset: Dataset) -> None:
    steps = dataset.index["step"].to_numpy()
    for part in ("train", "validation", "test"):
        for stretch in feed.stretches(part, on_stride_only=False):
            np.testing.assert_array_equal(
                stretch.first_step + stretch.phases + stretch.patches * feed.patch_steps, steps[stretch.rows]
            )


def test_held_out_parts_are_covered_once(feed: SegmentFeed, dataset: Dataset) -> None:
    rows = torch.cat([b.rows for b in HeldOut(feed, feed.stretches("validation", on_stride_only=True), 2)])
    chosen = (dataset.index["part"] == "validation").to_numpy() & dataset.index["on_stride"].to_numpy()
    np.testing.assert_array_equal(np.sort(rows.numpy()), np.flatnonzero(chosen))


def test_an_epoch_follows_from_seed_and_number_alone(feed: SegmentFeed) -> None:
    first, again, other, reseeded = epoch(feed, 3), epoch(feed, 3), epoch(feed, 4), epoch(feed, 3, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, reseeded, strict=True))


def test_an_epoch_has_every_segment_at_one_phase_and_epochs_cover_all_phases(feed: SegmentFeed) -> None:
    stretches = feed.stretches("train", on_stride_only=False)
    rows = torch.cat(epoch(feed, 0)).numpy()
    assert len(np.unique(rows)) == len(rows)
    for stretch in stretches:
        assert len(np.unique(stretch.phases[np.isin(stretch.rows, rows)])) == 1
    seen = np.unique(torch.cat([row for number in range(12) for row in epoch(feed, number)]).numpy())
    np.testing.assert_array_equal(seen, np.sort(np.concatenate([stretch.rows for stretch in stretches])))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_two_processes_share_each_step_without_overlap(feed: SegmentFeed, size: int) -> None:
    stretches = feed.stretches("train", on_stride_only=False)
    whole = list(TrainingEpoch(feed, stretches, Pace(size), seed=1, epoch=0, share=ALONE))
    halves = [
        list(TrainingEpoch(feed, stretches, Pace(size), seed=1, epoch=0, share=Share(rank, 2))) for rank in (0, 1)
    ]
    for step, one, other in zip(whole, *halves, strict=True):
        counted = torch.cat([half.rows[half.weights > 0] for half in (one, other)])
        assert torch.equal(counted.sort().values, step.rows.sort().values)
        assert one.total_weight == pytest.approx(step.total_weight)
        assert other.total_weight == pytest.approx(float(step.weights.sum()))


def test_a_window_before_the_data_begins_is_refused(dataset: Dataset, inputs: ModelInputs) -> None:
    model = model_of(history={**_history(), "kind": "window"})
    feed = SegmentFeed(dataset, build_network(model, inputs))
    stretches = feed.stretches("train", on_stride_only=False)
    assert min(stretch.first_step for stretch in stretches) == 0
    feed.window_steps = 1440
    with pytest.raises(ConfigError, match="minimum_history"):
        feed.stretches("train", on_stride_only=False)


def _history() -> dict[str, object]:
    return {"kind": "anchored", "width": 8, "layers": 1, "initial_forget_bias": 1.0, "dropout": 0.1}


def test_predicting_a_part_touches_no_other_days(dataset: Dataset, inputs: ModelInputs) -> None:
    network = build_network(model_of(), inputs)
    touched: set[int] = set()
    features = DailyFeatures(dataset, network.step_features)
    compute = features.day
    features.day = lambda number: (touched.add(number), compute(number))[1]  # type: ignore[method-assign]
    predict_logits(SegmentFeed(dataset, network, features), [network.eval()], "test", 2, on_stride_only=True)
    assert touched == {6, 7}


def test_behind_a_shorter_segment_stand_zeros(feed: SegmentFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = lambda *shape, **kind: torch.full(shape, float("nan"), **kind)  # noqa: E731 -- fresh memory holds anything
    monkeypatch.setattr(data.torch, "empty", spoilt)
    by_length = sorted(feed.stretches("train", on_stride_only=False), key=lambda each: each.last_step - each.first_step)
    short, long = by_length[0], by_length[-1]
    batch = feed.batch([short, long])
    length = short.last_step - short.first_step
    assert length < long.last_step - long.first_step
    assert torch.isfinite(batch.steps).all()
    assert not batch.steps[0, length:].any()


@pytest.mark.parametrize("encoder", ["patch", "strided_convolution"])
def test_steps_at_the_precision_of_products_lose_nothing(feed: SegmentFeed, inputs: ModelInputs, encoder: str) -> None:
    network = build_network(model_of(encoder=ENCODERS[encoder], mirrored=False), inputs).eval()
    stretches = feed.stretches("validation", on_stride_only=True)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16):
            loss = network(feed.batch(stretches, dtype=dtype)).float().square().mean()
        network.zero_grad()
        loss.backward()
        found.append([loss.detach(), *(value.grad.clone() for value in network.parameters() if value.grad is not None)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_clock_is_that_of_the_decisions(feed: SegmentFeed, dataset: Dataset) -> None:
    rows = feed.stretches("validation", on_stride_only=False)[0]
    clock = feed.batch([rows]).clock
    assert clock is not None
    steps = dataset.index["step"].to_numpy()[feed.batch([rows]).rows.numpy()]
    np.testing.assert_array_equal(clock.numpy(), dataset.gather("clock", 0, dataset.steps)[steps])
