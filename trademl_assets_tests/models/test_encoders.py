from typing import Any

import pytest
import torch
from torch import nn

from trademl_assets_tests.models.examples import ASSETS, PATCH, batch_of, network, parameters_of, raw_streams, stated

LENGTH = 61
CONVOLUTIONS = {
    "kind": "strided_convolution",
    "shared_by_instruments": False,
    "layers": [
        {"channels": 4, "kernel_steps": 3, "stride_steps": 1},
        {"channels": 6, "kernel_steps": 7, "stride_steps": 5},
    ],
    "activation": "silu",
    "token_width": 8,
    "token_activation": "tanh",
    "token_norm": True,
    "dropout": 0.1,
}


def convolutions(**changes: Any) -> dict[str, Any]:
    return {**CONVOLUTIONS, **changes}


def features(made: Any, seed: int) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = made.step_features(raw_streams(LENGTH, seed))
    return found


def test_strides_make_one_token_of_a_patch() -> None:
    encoder = parameters_of(stated(encoder=convolutions())).encoder
    assert encoder.patch_steps == PATCH
    layers = [
        {"channels": 2, "kernel_steps": 4, "stride_steps": 3},
        {"channels": 2, "kernel_steps": 2, "stride_steps": 2},
    ]
    assert parameters_of(stated(encoder=convolutions(layers=layers))).encoder.patch_steps == 6


@pytest.mark.parametrize("shared", [True, False])
def test_convolved_tokens_at_any_phase_equal_encoding_each_patch_alone(shared: bool) -> None:  # noqa: FBT001 -- a test's parameter
    made = network(encoder=convolutions(shared_by_instruments=shared))
    steps = features(made, 1)
    for phase in (0, 3):
        shared_tokens = made.encoder(batch_of(steps[None], [(0, 0), (0, phase)], [(0, 1)]))[1]
        for patch in (0, 4, 10):
            first = phase + patch * PATCH
            alone = made.encoder(batch_of(steps[None, first : first + PATCH + 1], [(0, 0)], [(0, 1)]))[0, 0]
            torch.testing.assert_close(shared_tokens[patch], alone, atol=1e-6, rtol=1e-6)


def test_shared_convolutions_encode_instruments_alike() -> None:
    made = network(encoder=convolutions(shared_by_instruments=True))
    steps = features(made, 2)
    width = steps.shape[1] // ASSETS
    swapped = steps.reshape(-1, ASSETS, width).flip(1).flatten(1)
    batch, other = batch_of(steps[None], [(0, 0)], [(0, 1)]), batch_of(swapped[None], [(0, 0)], [(0, 1)])
    seen: list[torch.Tensor] = []
    made.encoder.convolutions.register_forward_hook(lambda _layer, _read, found: seen.append(found[:, :, 0]))
    made.encoder(batch)
    made.encoder(other)
    one, two = (found.reshape(-1, ASSETS, 6) for found in seen)
    torch.testing.assert_close(one, two.flip(1))


def test_a_patch_is_convolved_with_zeros_on_both_sides_of_it() -> None:
    made = network(encoder=convolutions())
    steps = features(made, 4)
    convolutions_of = made.encoder.convolutions
    patch = steps[1 + PATCH : 1 + 2 * PATCH].T[None]
    first = nn.functional.silu(
        nn.functional.conv1d(patch, convolutions_of[1].weight, convolutions_of[1].bias, padding=1)
    )
    padded = nn.functional.pad(first, (1, 1))
    second = nn.functional.silu(nn.functional.conv1d(padded, convolutions_of[4].weight, convolutions_of[4].bias, 5))
    expected = made.encoder.token(second.flatten(1))
    found = made.encoder(batch_of(steps[None], [(0, 0)], [(0, 1)]))[0, 1]
    torch.testing.assert_close(found, expected[0], atol=1e-6, rtol=1e-6)


def test_a_stride_that_skips_steps_is_refused() -> None:
    layers = [{"channels": 2, "kernel_steps": 2, "stride_steps": 5}]
    with pytest.raises(ValueError, match="must not lie below stride_steps"):
        parameters_of(stated(encoder=convolutions(layers=layers)))


def test_every_weight_of_the_convolutions_takes_part() -> None:
    made = network(encoder=convolutions()).train()
    batch = batch_of(features(made, 3)[None], [(0, 0)], [(0, n) for n in range(1, 12)])
    torch.nn.functional.cross_entropy(made(batch), batch.labels).backward()
    silent = [name for name, weight in made.encoder.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []
