"""Computes steps of optimisation on tensors that claim to lie on a card, of which this machine may have none.

`python -m trademl_assets_tests.training.claimed_card store` reads cases as JSON from standard input, an object of
{"model", "training", "groups"} by name, and prints for each what went wrong, or an empty text. Tensors have shapes,
kinds and a device but no values, so that nothing is computed; an operation between a tensor of the card and one of the
host fails as it would on a card. The device is one of torch's own making, since a build without CUDA cannot claim
`cuda`. What asks the device for its random state (activations computed again) cannot be shown this way, nor what
depends on values (several answers of one window).
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from trademl_assets.datasets.windows import open_dataset
from trademl_assets.models.inputs import inputs_of
from trademl_assets.models.network import Network
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.class_grids import grouped
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.losses import sample_loss, weighted_mean, without_class_weights
from trademl_assets.training.member import training_class_weights, uncompiled_network
from trademl_assets.training.optimisers import build_optimiser
from trademl_assets_tests.training.conftest import model_of, training_of

MODE = FakeTensorMode(allow_non_fake_inputs=True)


def main(root: str) -> None:
    _setup_privateuseone_for_python_backend("card")
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty_strided", made_there, "PrivateUse1")
    library.impl("empty.memory_format", made_flat_there, "PrivateUse1")
    library.impl("_copy_from", lambda _source, target, _not_blocking=False: target, "PrivateUse1")
    cases = json.load(sys.stdin)
    sys.stdout.write(json.dumps({name: what_fails(root, case) for name, case in cases.items()}))


def what_fails(root: str, case: dict[str, Any]) -> str:
    try:
        step(root, case)
    except Exception:  # noqa: BLE001 -- whatever fails is the answer
        return traceback.format_exc(limit=-40)
    return ""


def step(root: str, case: dict[str, Any]) -> None:
    dataset = open_dataset(ArtifactStore.at(Path(root)), "card")
    inputs, model, parameters = inputs_of(dataset), model_of(**case["model"]), training_of(**case["training"])
    network = uncompiled_network(model, inputs, parameters)
    feed = SegmentFeed(dataset, uncompiled_network(model, inputs, parameters))  # its first part stays on the host
    weights = training_class_weights(parameters.loss, feed, inputs.classes)
    stretches = feed.stretches("train", on_stride_only=False, every_label=True)[:2]
    card = torch.device("card", 0)
    claim(network, card, MODE)
    total = feed.total_weight(stretches)
    with MODE:
        feed.hold(feed.days(stretches), card)
        batch = feed.batch(stretches, total)
        require(batch.steps, card)
        if feed.mirror is not None:
            batch = feed.mirror.turn(batch, torch.tensor([True, False]))
        batch = batch.to(card)
        optimiser = build_optimiser(network, parameters.optimiser, unscales=False)
        loss = weighted_mean(sample_loss(parameters.loss, network, weights, case["groups"])(network, batch), batch, 1)
        penalty = network.penalty()
        (loss if penalty is None else loss + penalty).backward()
        require(loss, card)
        for value in network.parameters():
            if value.grad is not None:
                require(value.grad, card)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        network.constrain()
        with torch.no_grad():
            unweighted = without_class_weights(network.eval()(batch), weights)
            logits, labels = grouped(unweighted, batch.labels, case["groups"])
            require(nn.functional.cross_entropy(logits, labels, reduction="none"), card)


def made_there(
    size: list[int], stride: list[int], *, dtype: torch.dtype, device: torch.device, **_named: Any
) -> Tensor:
    """Make what is moved to the card without a tensor of the card taking part, such as a list of numbers."""
    return claimed(torch.empty_strided(size, stride, dtype=dtype, device="meta"), device, MODE)


def made_flat_there(size: list[int], *, dtype: torch.dtype, device: torch.device, **_named: Any) -> Tensor:
    """Make the same without strides."""
    return claimed(torch.empty(size, dtype=dtype, device="meta"), device, MODE)


def claim(network: Network, card: torch.device, mode: FakeTensorMode) -> None:
    """Let all weights and buffers claim to lie on the card."""
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(claimed(weight.detach(), card, mode))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = claimed(buffer, card, mode)
        if isinstance(module, nn.LSTM):
            module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]


def claimed(tensor: Tensor, card: torch.device, mode: FakeTensorMode) -> Tensor:
    return FakeTensor(mode, torch.empty_like(tensor, device="meta"), card)


def require(tensor: Tensor, card: torch.device) -> None:
    assert tensor.device == card, f"a result lies on {tensor.device}"


if __name__ == "__main__":
    main(*sys.argv[1:])
