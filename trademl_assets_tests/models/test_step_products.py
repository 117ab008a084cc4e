import pytest
import torch
from torch import Tensor, nn

from trademl_assets.models import step_products
from trademl_assets.models.step_products import StepLinear
from trademl_assets_tests.models.examples import batch_of, network, raw_streams
from trademl_assets_tests.models.test_encoders import LENGTH, convolutions

WIDTH, OUT = 11, 3


def layer_and_rows() -> tuple[StepLinear, Tensor]:
    torch.manual_seed(4)
    return StepLinear(WIDTH, OUT), torch.randn(2, 29, 7, WIDTH).half()


def answered(layer: nn.Module, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
    layer.zero_grad()
    found = layer(rows)
    found.square().sum().backward()
    return found, [weight.grad.clone() for weight in layer.parameters() if weight.grad is not None]


@pytest.mark.parametrize("piece_rows", [1, 40, 10_000])
def test_half_features_give_what_their_single_copies_give(monkeypatch: pytest.MonkeyPatch, piece_rows: int) -> None:
    monkeypatch.setattr(step_products, "_PIECE_BYTES", piece_rows * WIDTH * 4)
    layer, rows = layer_and_rows()
    (found, gradients), (expected, expected_gradients) = answered(layer, rows), answered(layer, rows.float())
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-5)
    assert len(gradients) == 2


def test_no_copy_of_all_half_features_is_kept_for_the_gradient() -> None:
    layer, rows = layer_and_rows()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved) or saved, lambda saved: saved):
        layer(rows)
    large = [saved for saved in kept if saved.numel() >= rows.numel()]
    assert [saved.dtype for saved in large] == [torch.float16]


def test_products_of_half_features_are_bf16_where_all_are() -> None:
    layer, rows = layer_and_rows()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(rows), layer(rows.float()))


@pytest.mark.parametrize("encoder", [None, convolutions()])
def test_a_network_reads_half_features_as_their_single_copies(encoder: dict[str, object] | None) -> None:
    made = (network() if encoder is None else network(encoder=encoder)).eval()
    with torch.no_grad():
        steps = made.step_features(raw_streams(LENGTH, 1)).half()[None]
        found, expected = (made.encoder(batch_of(each, [(0, 0)], [(0, 1)])) for each in (steps, steps.float()))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == torch.float32
