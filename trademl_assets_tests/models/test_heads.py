import mpmath
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from trademl_assets.models.heads import MixtureOverBoundaries, SoftmaxLogits, log_normal_interval
from trademl_assets.models.parameters import DistributionHead

EDGES = (-30.0, -5.0, 0.0, 7.0, 40.0)
PARAMETERS = DistributionHead(kind="distribution", components=3, largest_log_scale=3.0, initial_log_scale_spread=0.3)


def head(seed: int = 0) -> MixtureOverBoundaries:
    torch.manual_seed(seed)
    made = MixtureOverBoundaries(6, torch.tensor([EDGES]), PARAMETERS)
    with torch.no_grad():
        made.linear.weight.mul_(30.0)
    return made


def test_classes_are_the_mixtures_integrals_between_the_boundaries() -> None:
    made, state, sigma = head(), torch.randn(20, 6), torch.rand(20) * 30 + 2
    probabilities = torch.exp(made(state, sigma)).detach().numpy()
    mixture = made.mixture(state)
    weights, means, scales = (
        value.detach().double().numpy()
        for value in (mixture.log_weights.exp(), mixture.means, mixture.log_scales.exp())
    )
    edges = np.concatenate([[-np.inf], EDGES, [np.inf]])[None, None, :] / sigma.double().numpy()[:, None, None]
    cumulative = norm.cdf((edges - means[..., None]) / scales[..., None])
    expected = (weights[..., None] * np.diff(cumulative, axis=2)).sum(axis=1)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)


def test_density_integrates_to_the_same_classes() -> None:
    made, state, sigma = head(1), torch.randn(1, 6), torch.tensor([12.0])
    grid = torch.linspace(-5.0, 0.0, 20001)
    density = torch.exp(made.log_density(state.expand(len(grid), -1), grid / sigma))
    inside = torch.trapezoid(density, grid / sigma)
    torch.testing.assert_close(inside, torch.exp(made(state, sigma))[0, 2], atol=1e-4, rtol=1e-3)


def test_logits_and_gradients_stay_finite_far_in_the_tails() -> None:
    made = head(2)
    state = (torch.randn(8, 6) * 20).requires_grad_()
    logits = made(state, torch.tensor([1e-3, 0.1, 1.0, 5.0, 50.0, 500.0, 1e4, 1e6]))
    assert torch.isfinite(logits).all()
    logits.sum().backward()
    assert state.grad is not None
    assert torch.isfinite(state.grad).all()


@given(st.floats(-30, 30), st.floats(0.01, 30))
def test_interval_equals_the_difference_of_cumulatives_at_high_precision(low: float, width: float) -> None:
    found = float(log_normal_interval(torch.tensor(low).double(), torch.tensor(low + width).double()))
    with mpmath.workdps(500):
        expected = float(mpmath.log(mpmath.ncdf(low + width) - mpmath.ncdf(low)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_wider_sigma_moves_mass_to_the_outer_classes() -> None:
    made, state = head(3), torch.zeros(2, 6)
    narrow, wide = torch.exp(made(state, torch.tensor([5.0, 50.0])))
    assert float((wide[0] + wide[-1]).detach()) > float((narrow[0] + narrow[-1]).detach())


def test_softmax_head_is_one_linear_logit_a_class() -> None:
    made = SoftmaxLogits(6, 4)
    state = torch.randn(3, 6)
    torch.testing.assert_close(made(state, torch.ones(3)), made.linear(state))
