"""Each option of a training, by what it changes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trademl_assets.foundation.errors import ConfigError, TrainingError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.training import trainer
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.member import TrainedMember, build_network, train_member
from trademl_assets.training.module import MemberModule
from trademl_assets.training.optimisers import build_optimiser
from trademl_assets.training.trainer import accelerator, draw_apart, prepare_network
from trademl_assets_tests.training.conftest import model_of, training_of, training_values

Setting = tuple[ModelInputs, SegmentFeed, Path]
ADAM = training_values()["optimiser"]
SGD = {
    "kind": "sgd",
    "learning_rate": 0.1,
    "weight_decay": 0.01,
    "context_weight_decay": 0.1,
    "momentum": 0.9,
    "nesterov": True,
    "fused": False,
}
WILD = {"optimiser": {**ADAM, "learning_rate": 1e18}, "schedule": {"kind": "constant"}}


@pytest.fixture
def setting(inputs: ModelInputs, feed: SegmentFeed, tmp_path: Path) -> Setting:
    return inputs, feed, tmp_path


def train(setting: Setting, lines: list[str] | None = None, **changes: Any) -> TrainedMember:
    inputs, feed, folder = setting
    own = folder / str(len(list(folder.iterdir())))
    told: list[str] = [] if lines is None else lines
    parameters = training_of(**{"max_epochs": 2, **changes})
    return train_member(
        model_of(), inputs, feed, parameters, seed=1, folder=own, report=lambda line, _facts: told.append(line)
    )


def weights(member: TrainedMember) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in member.network.state_dict().values()])


@pytest.mark.parametrize(
    ("stated", "kind"),
    [(ADAM, torch.optim.AdamW), ({**ADAM, "kind": "adam"}, torch.optim.Adam), (SGD, torch.optim.SGD)],
)
@pytest.mark.parametrize("fused", [False, True])
def test_optimisers_are_torchs_own_with_decay_on_matrices_alone(
    inputs: ModelInputs, stated: dict[str, Any], kind: type[torch.optim.Optimizer], *, fused: bool
) -> None:
    network = build_network(model_of(), inputs)
    parameters = training_of(optimiser={**stated, "fused": fused})
    made = build_optimiser(network, parameters.optimiser, unscales=False)
    assert type(made) is kind
    assert bool(made.defaults["fused"]) == fused
    decays = {id(p): group["weight_decay"] for group in made.param_groups for p in group["params"]}
    context = {id(p) for p in network.context_parameters()}
    for parameter in network.parameters():
        expected = stated["context_weight_decay"] if id(parameter) in context else stated["weight_decay"]
        assert decays[id(parameter)] == (expected if parameter.ndim > 1 else 0.0)
    assert not build_optimiser(network, parameters.optimiser, unscales=True).defaults["fused"]


def test_every_optimiser_learns_and_fused_ones_the_same(setting: Setting) -> None:
    found = {kind: train(setting, optimiser=stated) for kind, stated in (("adamw", ADAM), ("sgd", SGD))}
    fused = train(setting, optimiser={**ADAM, "fused": True})
    torch.testing.assert_close(weights(fused), weights(found["adamw"]), atol=1e-4, rtol=1e-3)
    assert not torch.equal(weights(found["sgd"]), weights(found["adamw"]))
    assert all(np.isfinite(member.validation_log_loss) for member in found.values())


def test_a_constant_rate_stays_and_one_on_a_plateau_falls(setting: Setting) -> None:
    constant = train(setting, schedule={"kind": "constant"}, max_epochs=3)
    assert {row["learning_rate"] for row in constant.epochs} == {0.02}
    falling = {
        "kind": "reduce_on_plateau",
        "factor": 0.1,
        "patience_epochs": 0,
        "minimum_improvement": 10.0,
        "final_learning_rate_share": 0.05,
    }
    rates = [row["learning_rate"] for row in train(setting, schedule=falling, max_epochs=4).epochs]
    np.testing.assert_allclose(rates, [0.02, 0.02, 0.002, 0.001])


def test_gradients_are_bounded_by_entry_and_by_norm(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float]] = []
    before = MemberModule.optimizer_step

    def look(self: MemberModule, *arguments: Any, **named: Any) -> None:
        before(self, *arguments, **named)
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        seen.append((float(flat.abs().max()), float(flat.norm())))

    monkeypatch.setattr(MemberModule, "optimizer_step", look)
    train(setting, gradient_clipping={"value": None, "norm": None}, max_epochs=1)
    free, seen[:] = list(seen), []
    train(setting, gradient_clipping={"value": 1e-3, "norm": None}, max_epochs=1)
    assert max(entry for entry, _ in free) > 1e-3
    assert max(entry for entry, _ in seen) <= 1e-3 * (1 + 1e-6)
    seen[:] = []
    train(setting, gradient_clipping={"value": None, "norm": 1e-2}, max_epochs=1)
    assert max(norm for _, norm in free) > 1e-2
    assert max(norm for _, norm in seen) <= 1e-2 * (1 + 1e-4)


@pytest.mark.parametrize(("metric", "value"), [("validation_log_loss", 5.0), ("validation_accuracy", 0.01)])
def test_training_ends_when_a_metric_is_good_enough(setting: Setting, metric: str, value: float) -> None:
    stopping = {**training_values()["early_stopping"], "threshold": {"metric": metric, "value": value}}
    assert len(train(setting, early_stopping=stopping, max_epochs=5).epochs) == 1


def test_an_epoch_ends_after_so_many_steps(setting: Setting) -> None:
    assert train(setting).steps == 4
    assert train(setting, steps_per_epoch_at_most=1).steps == 2
    assert train(setting, steps_per_epoch_at_most=9).steps == 4


def test_products_in_half_precision_come_near(setting: Setting) -> None:
    whole, half = train(setting), train(setting, precision="bf16")
    assert not torch.equal(weights(half), weights(whole))
    assert half.validation_log_loss == pytest.approx(whole.validation_log_loss, abs=0.05)
    with pytest.raises(ConfigError, match="fp16 needs a CUDA device"):
        train(setting, precision="fp16")


def test_activations_computed_again_give_the_same_bits(setting: Setting) -> None:
    assert torch.equal(weights(train(setting, recompute_activations=True)), weights(train(setting)))


def test_activations_computed_again_are_not_kept(inputs: ModelInputs, feed: SegmentFeed) -> None:
    kept = {}
    batch = feed.batch(feed.stretches("train", on_stride_only=False)[:2])
    for recompute in (False, True):
        network = build_network(model_of(), inputs)
        prepare_network(network, training_of(recompute_activations=recompute))
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=sizes: (to.append(x.numel()), x)[1], lambda x: x):
            network(batch)
        kept[recompute] = sum(sizes)
    assert kept[True] < 0.9 * kept[False]  # what is left is the batch, and what comes after the encoder


def test_a_compiled_network_is_asked_of_torch_and_keeps_its_names(
    inputs: ModelInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(model_of(), inputs)
    names = list(network.state_dict())
    asked: list[bool] = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: asked.append(True) or function)
    prepare_network(network, training_of(compile=False))
    assert not asked
    prepare_network(network, training_of(compile=True))
    assert asked
    assert list(network.state_dict()) == names


def test_a_loss_that_is_not_a_number_is_tried_again_at_a_lower_rate(setting: Setting) -> None:
    lines: list[str] = []
    recovery = {"retries": 1, "learning_rate_factor": 1e-20}
    member = train(setting, lines, **WILD, not_a_number=recovery, checkpoint_every_steps=100)
    assert math.isfinite(member.validation_log_loss)
    assert [row["learning_rate"] for row in member.epochs] == pytest.approx([0.01, 0.01])
    assert any("retry 1 of 1 at 1e-20 of the rate" in line for line in lines)


def test_a_checkpoint_that_leads_nowhere_is_left_out(setting: Setting) -> None:
    lines: list[str] = []
    recovery = {"retries": 3, "learning_rate_factor": 1e-10}
    member = train(setting, lines, **WILD, not_a_number=recovery, checkpoint_every_steps=1)
    assert math.isfinite(member.validation_log_loss)
    assert sum("retry" in line for line in lines) == 2
    assert sum("goes on from" in line for line in lines) == 1


def test_after_the_last_retry_a_typed_error_says_where(setting: Setting) -> None:
    recovery = {"retries": 2, "learning_rate_factor": 0.999}
    with pytest.raises(TrainingError, match=r"seed 1, after 2 retries: .* epoch \d"):
        train(setting, **WILD, not_a_number=recovery)


def test_nothing_but_cuda_is_taken_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [accelerator(devices) for devices in ("auto", "cpu", "1", "2")] == ["cpu"] * 4
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [accelerator(devices) for devices in ("auto", "cpu", "1")] == ["cuda", "cpu", "cuda"]


def test_what_only_says_how_to_train_makes_no_model_stale() -> None:
    stated = training_of()
    same = {"checkpoint_every_steps": 7, "progress_seconds": 9.0, "timeout": "PT2H", "workers": 2}
    assert training_of(**same).fingerprint() == stated.fingerprint()
    assert training_of(max_epochs=5).fingerprint() != stated.fingerprint()


def test_processes_that_train_together_draw_dropout_of_their_own() -> None:
    def drawn(seed: int, rank: int) -> list[float]:
        torch.manual_seed(seed)
        draw_apart(seed, rank)
        return torch.nn.functional.dropout(torch.ones(64), 0.5).tolist()

    torch.manual_seed(7)
    alone = torch.nn.functional.dropout(torch.ones(64), 0.5).tolist()
    assert drawn(7, 0) == alone
    assert drawn(7, 1) == drawn(7, 1)
    assert len({tuple(drawn(seed, rank)) for seed in (7, 8) for rank in (0, 1)}) == 4


def test_tensorboard_shows_the_curves_of_every_epoch(setting: Setting, tmp_path: Path) -> None:
    member = train(setting, tensorboard_folder=str(tmp_path / "curves"), max_epochs=3)
    (written,) = (tmp_path / "curves").rglob("events.out.tfevents.*")
    curves = EventAccumulator(str(written.parent)).Reload()
    for name in ("training_loss", "validation_log_loss", "validation_accuracy"):
        shown = [event.value for event in curves.Scalars(name)]
        assert shown == pytest.approx([row[name] for row in member.epochs], rel=1e-6)


def test_tensorboard_that_is_not_installed_is_named_with_its_remedy(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"needs the package tensorboard.*\[tensorboard\]"):
        train(setting, tensorboard_folder=str(tmp_path / "curves"))
