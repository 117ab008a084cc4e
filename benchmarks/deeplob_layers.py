"""DeepLOB's network (Zhang, Zohren and Roberts, 2019) as its PyTorch notebook has it, and the same for stretches.

The notebook convolves every window by itself. Its convolutions along time have no padding, so that what they give for
a step does not depend on the window: for windows that overlap they are computed once. Batch normalisation then counts
each step as often as there are windows that read it, which gives the same means and variances.

On single windows ours differs in how the same arithmetic is laid out: channels last, kernels over columns as 1 x 1
convolutions of those columns as channels, and the hyperbolic tangent by way of the logistic function.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trademl_assets.models.network import Network, SegmentBatch

WINDOW, COLUMNS, CLASSES, WIDTH = 100, 40, 3, 64
Norm = Callable[[int], nn.BatchNorm2d]


def leaky() -> nn.Module:
    """The notebook's activation."""
    return nn.LeakyReLU(negative_slope=0.01)


def block(channels: int, first: nn.Conv2d, activation: Callable[[], nn.Module], norm: Norm) -> nn.Sequential:
    """A convolution over the columns of the book, two over time."""
    return nn.Sequential(
        *(first, activation(), norm(32)),
        *(nn.Conv2d(channels, channels, (4, 1)), activation(), norm(channels)),
        *(nn.Conv2d(channels, channels, (4, 1)), activation(), norm(channels)),
    )


class DeepLob(nn.Module):
    """The notebook's network: 143,907 weights; its softmax goes into the cross entropy, as there."""

    def __init__(self, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = block(32, nn.Conv2d(1, 32, (1, 2), stride=(1, 2)), leaky, norm)
        self.conv2 = block(32, nn.Conv2d(32, 32, (1, 2), stride=(1, 2)), nn.Tanh, norm)
        self.conv3 = block(32, nn.Conv2d(32, 32, (1, 10)), leaky, norm)
        self.inp1, self.inp2 = (
            nn.Sequential(
                *(nn.Conv2d(32, 64, (1, 1), padding="same"), leaky(), nn.BatchNorm2d(64)),
                *(nn.Conv2d(64, 64, (length, 1), padding="same"), leaky(), nn.BatchNorm2d(64)),
            )
            for length in (3, 5)
        )
        self.inp3 = nn.Sequential(
            nn.MaxPool2d((3, 1), stride=(1, 1), padding=(1, 0)),
            *(nn.Conv2d(32, 64, (1, 1), padding="same"), leaky(), nn.BatchNorm2d(64)),
        )
        self.lstm = nn.LSTM(input_size=192, hidden_size=WIDTH, num_layers=1, batch_first=True)
        self.fc1 = nn.Linear(WIDTH, CLASSES)

    def forward(self, windows: Tensor) -> Tensor:
        """Return (N, 3) probabilities of windows (N, 1, 100, 40)."""
        return self.answer(self.conv3(self.conv2(self.conv1(windows))))

    def answer(self, tokens: Tensor) -> Tensor:
        """Return (N, 3) probabilities of convolved windows (N, 32, 82, 1), whose edges are padded from here on."""
        joined = self.inception(tokens).permute(0, 2, 1, 3)
        rows, _ = self.lstm(torch.reshape(joined, (-1, joined.shape[1], joined.shape[2])))
        return torch.softmax(self.fc1(rows[:, -1, :]), dim=1)

    def inception(self, tokens: Tensor) -> Tensor:
        """Return (N, 192, 82, 1)."""
        return torch.cat((self.inp1(tokens), self.inp2(tokens), self.inp3(tokens)), dim=1)


class ColumnConvolution(nn.Conv2d):
    """A kernel (1, k) over columns side by side, k apart: a 1 x 1 convolution that takes k columns as channels.

    Laid out with channels last these stand together already, and the library is three times as fast at it.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- torch's name
        """Return (N, out, T, W / k) of (N, in, T, W)."""
        samples, channels, steps, columns = input.shape
        read = self.kernel_size[1]
        together = input.permute(0, 2, 3, 1).reshape(samples, steps, columns // read, read * channels)
        weight = self.weight.permute(0, 3, 1, 2).reshape(self.out_channels, read * channels, 1, 1)
        return nn.functional.conv2d(together.permute(0, 3, 1, 2), weight, self.bias)


class LogisticTanh(nn.Module):
    """tanh(x) = 2 / (1 + exp(-2 x)) - 1, to the last digits of single precision, in a fifth of the time."""

    def forward(self, values: Tensor) -> Tensor:
        """Return tanh of values."""
        found: Tensor = _LogisticTanh.apply(values)  # type: ignore[no-untyped-call]  # torch's own
        return found


class _LogisticTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        found = torch.sigmoid(2 * values).mul_(2).sub_(1)
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (found,) = ctx.saved_tensors
        changed: Tensor = torch.ops.aten.tanh_backward(gradient, found)
        return changed


class _ChannelsLastGradient(torch.autograd.Function):
    """What passes is left as it is; its gradient is laid out with channels last, as the layers before it read it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004 -- torch's signature
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004 -- the same
        return gradient.contiguous(memory_format=torch.channels_last)


class LaidOutDeepLob(DeepLob):
    """The notebook's network with its weights, laid out for a CPU."""

    def __init__(self) -> None:
        super().__init__(CountedNorm)
        self.conv1[0] = ColumnConvolution(1, 32, (1, 2), stride=(1, 2))
        self.conv2[0] = ColumnConvolution(32, 32, (1, 2), stride=(1, 2))
        self.conv3[0] = ColumnConvolution(32, 32, (1, 10))
        for number, layer in enumerate(self.conv2):
            if isinstance(layer, nn.Tanh):
                self.conv2[number] = LogisticTanh()
        for layer in self.modules():
            if isinstance(layer, nn.LeakyReLU):
                layer.inplace = True
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own gap

    def inception(self, tokens: Tensor) -> Tensor:
        """Return (N, 192, 82, 1)."""
        parts = (self.inp1(tokens), self.inp2(tokens), self.inp3(tokens))
        laid: list[Tensor] = [_ChannelsLastGradient.apply(part) for part in parts]  # type: ignore[no-untyped-call]  # as above
        return torch.cat(laid, dim=1)


class CountedNorm(nn.BatchNorm2d):
    """Batch normalisation that counts a step as often as it is read."""

    def counted(self, values: Tensor, counts: Tensor) -> Tensor:
        """Normalise (S, C, T, W) by means and variances in which step (s, t) stands `counts[s, t]` times."""
        rows = values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])
        each = counts.repeat_interleave(values.shape[3], dim=1).reshape(-1)
        number = each.sum()
        mean = each @ rows / number
        centred = rows - mean
        variance = each @ centred.square() / number
        assert self.running_mean is not None and self.running_var is not None and self.momentum  # noqa: S101, PT018 -- as it is made
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]  # there where statistics are kept
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * number / (number - 1), self.momentum)
        normal = torch.addcmul(self.bias, centred, self.weight * torch.rsqrt(variance + self.eps))
        shape = (values.shape[0], values.shape[2], values.shape[3], values.shape[1])
        return normal.reshape(shape).permute(0, 3, 1, 2)


class RawColumns:
    """The stream as it is: nothing is computed of it beforehand."""

    width = COLUMNS
    streams: tuple[str, ...] = ("lob",)

    def identity(self) -> str:
        """Name all that the features follow from."""
        return "raw"

    def __call__(self, raw: dict[str, Tensor]) -> Tensor:
        """Return (T, 40)."""
        return raw["lob"].float()


class StretchedDeepLob(Network):
    """The same network for segments of steps with any number of windows on each.

    Args:
        instrument: Whose labels it forecasts.
        horizon_seconds: Over which horizon.
    """

    def __init__(self, instrument: str, horizon_seconds: int) -> None:
        super().__init__()
        self.step_features = RawColumns()
        self.patch_steps, self.window_steps = 1, WINDOW
        self.streams = self.step_features.streams
        self.targets, self.horizons_seconds = (instrument,), (horizon_seconds,)
        self.layers = LaidOutDeepLob()

    def forward(self, batch: SegmentBatch) -> Tensor:
        """Return (N, 3) probabilities of the decisions; a segment's first step is the one before its first window."""
        steps = batch.steps[:, None, 1:].contiguous(memory_format=torch.channels_last)
        first = batch.decision_patches - WINDOW
        if steps.shape[2] == WINDOW:  # a window a segment: nothing is shared
            alone: Tensor = self.layers(steps)
            return alone
        segment = torch.tensor(batch.view_segment)[batch.decision_view]
        read = torch.zeros(len(steps), steps.shape[2] - WINDOW + 1)
        read[segment, first] = 1.0
        tokens = self._convolve(steps, read)
        length = tokens.shape[2] - read.shape[1] + 1
        places = (segment * tokens.shape[2] + first)[:, None] + torch.arange(length)
        windows = nn.functional.embedding(places, tokens.squeeze(3).transpose(1, 2).flatten(0, 1))
        return self.layers.answer(windows.transpose(1, 2).unsqueeze(3))

    def _convolve(self, values: Tensor, read: Tensor) -> Tensor:
        """(S, 32, T, 1) tokens of (S, 1, T, 40) steps of which the windows begin where `read` (S, firsts) is 1."""
        counts: dict[int, Tensor] = {}
        for part in (*self.layers.conv1, *self.layers.conv2, *self.layers.conv3):
            if isinstance(part, CountedNorm):
                length = values.shape[2]
                if length not in counts:
                    counts[length] = windows_on(read, length)
                values = part.counted(values, counts[length])
            else:
                values = part(values)
        return values


def windows_on(read: Tensor, steps: int) -> Tensor:
    """(S, steps) how many windows read a step, where they begin at the marks of `read` (S, firsts)."""
    length = steps - read.shape[1] + 1
    padded = nn.functional.pad(read[:, None], (length - 1, length - 1))
    return nn.functional.conv1d(padded, torch.ones(1, 1, length))[:, 0]


def same_weights(network: StretchedDeepLob, expected: DeepLob) -> None:
    """Give the network the notebook's weights."""
    weights: dict[str, Any] = expected.state_dict()
    network.layers.load_state_dict(weights)
