"""The long-term channel: a convolution over the daily vectors of the look-back."""

from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.activations import activation
from trademl_assets.models.instruments import ReadInstruments
from trademl_assets.models.parameters import LongTermParameters
from trademl_assets.models.step_features import Standardise


class LongTermChannel(nn.Module):
    """Convolutions over days, all statistics and assets stacked as channels, then one summary.

    Args:
        read: The instruments that are read; the long-term stream has shape (statistics, assets) a day.
        parameters: Convolutions and width.

    Raises:
        ConfigError: The dataset lacks the stream, or its look-back is shorter than the kernels need.
    """

    def __init__(self, read: ReadInstruments, parameters: LongTermParameters) -> None:
        super().__init__()
        stream = read.inputs.stream("long_term")
        self._columns = read.columns("long_term")
        self.standardise = Standardise(stream)
        layers: list[nn.Module] = []
        channels, length = stream.shape[0] * stream.shape[1], stream.lookback_steps
        for width in parameters.channels:
            length = (length - parameters.kernel_days) // parameters.stride_days + 1
            if length < 1:
                raise ConfigError(
                    f"long_term: {len(parameters.channels)} convolutions of {parameters.kernel_days} days at stride "
                    f"{parameters.stride_days} do not fit a look-back of {stream.lookback_steps} days -> shorten them"
                )
            layers += [
                nn.Conv1d(channels, width, parameters.kernel_days, parameters.stride_days),
                activation(parameters.activation),
            ]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.days = length
        for _ in parameters.channels:
            self.days = (self.days - 1) * parameters.stride_days + parameters.kernel_days
        self.summary = nn.Sequential(
            nn.Linear(channels * length, parameters.width),
            activation(parameters.activation),
            nn.Dropout(parameters.dropout),
        )

    def forward(self, days: Tensor) -> Tensor:
        """Return (D, width) summaries of (D, look-back days, statistics, assets) vectors, oldest day first.

        Where strides do not divide the look-back, the oldest days are left out.
        """
        chosen = days if self._columns is None else days[..., self._columns]
        stacked = self.standardise(chosen[:, -self.days :]).flatten(2).transpose(1, 2)
        summary: Tensor = self.summary(self.convolutions(stacked).flatten(1))
        return summary
