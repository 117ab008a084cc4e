"""What is laid out otherwise is the notebook's network still: outputs, gradients and running statistics."""

import torch
from torch import nn

from benchmarks.deeplob_layers import COLUMNS, WINDOW, ColumnConvolution, DeepLob, LaidOutDeepLob, LogisticTanh


def test_the_laid_out_network_is_the_notebooks_in_double_precision() -> None:
    torch.manual_seed(3)
    notebook, ours = DeepLob().double(), LaidOutDeepLob().double()
    ours.load_state_dict(notebook.state_dict())
    windows, labels = torch.randn(6, 1, WINDOW, COLUMNS).double(), torch.tensor([0, 1, 2, 0, 1, 2])
    expected = nn.functional.cross_entropy(notebook(windows), labels)
    found = nn.functional.cross_entropy(ours(windows.contiguous(memory_format=torch.channels_last)), labels)
    torch.testing.assert_close(found, expected)
    expected.backward()
    found.backward()
    theirs = dict(notebook.named_parameters())
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, theirs[name].grad, msg=name)
    for name, kept in ours.named_buffers():
        torch.testing.assert_close(kept, dict(notebook.named_buffers())[name], msg=name)


def test_kernels_over_columns_are_those_of_a_convolution() -> None:
    for read, columns in ((2, 6), (6, 6)):
        plain = nn.Conv2d(3, 5, (1, read), stride=(1, read))
        laid = ColumnConvolution(3, 5, (1, read), stride=(1, read))
        laid.load_state_dict(plain.state_dict())
        values = torch.randn(2, 3, 7, columns)
        torch.testing.assert_close(laid(values), plain(values))


def test_the_logistic_tanh_is_tanh_at_any_size() -> None:
    values = torch.cat([torch.linspace(-30, 30, 1001), torch.tensor([-1e30, -1e-6, 0.0, 1e-6, 1e30])]).requires_grad_()
    (gradient,) = torch.autograd.grad(LogisticTanh()(values).sum(), values)
    with torch.no_grad():
        torch.testing.assert_close(LogisticTanh()(values), values.tanh(), rtol=1e-6, atol=2e-7)
        torch.testing.assert_close(gradient, 1 - values.tanh().square(), rtol=1e-5, atol=1e-6)
