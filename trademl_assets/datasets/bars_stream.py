"""Stream kind `bars`: the candle that ended at each step, prices around the last close, volume on a log scale."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.datasets.candle_inputs import BAR_VALUES, observed_closes
from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters

if TYPE_CHECKING:
    from trademl_assets.datasets.ingredients import Ingredients

BARS = "bars"
BPS = 1e4
FIELDS = ("open_bps", "high_bps", "low_bps", "close_bps", "log_volume")
VOLUME = BAR_VALUES.index("volume")


class BarsParameters(Parameters):
    """Parameters of `bars`.

    Attributes:
        reference_volumes: By instrument, the volume of a bar that scales its volumes to the order of one.
    """

    reference_volumes: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]


@STREAMS.register(BARS)
class Bars:
    """Candles of a dataset whose series come from candles."""

    parameters: ClassVar[type[Parameters]] = BarsParameters

    def __init__(self, parameters: BarsParameters) -> None:
        self._references = parameters.reference_volumes

    @property
    def external_series(self) -> tuple[str, ...]:
        """None."""
        return ()

    def columns(self, instruments: Sequence[str]) -> tuple[str, ...]:
        """FIELDS of each instrument in turn.

        Raises:
            ConfigError: An instrument has no reference volume.
        """
        if lacking := [name for name in instruments if name not in self._references]:
            raise ConfigError(
                f"reference_volumes lacks {', '.join(lacking)} -> give every instrument of the dataset one"
            )
        return tuple(f"{instrument}:{field}" for instrument in instruments for field in FIELDS)

    def compute(self, ingredients: "Ingredients") -> NDArray[np.float32]:
        """Open, high, low and close as log distance in bps to the close of the bar before, log1p(volume / reference).

        The bar before is the last one that there was, so a distance across a gap is whole. Zero where no bar ended, and
        the prices of the first bar, which has none before it.

        Returns:
            (T, assets * 5) float32.

        Raises:
            ConfigError: The series do not come from candles, or an instrument has no reference volume.
        """
        series, names = ingredients.series, ingredients.parameters.instruments
        if series.bars is None:
            raise ConfigError("stream kind bars reads candles -> write series_from: candles, or leave the stream out")
        columns = self.columns(names)
        stream = np.zeros((series.steps, len(names), len(FIELDS)), np.float32)
        for asset, name in enumerate(names):
            seen, closes = observed_closes(series, asset)
            values = series.bars[seen, asset]
            prices = np.column_stack([values[:, :VOLUME], closes])
            stream[seen[1:], asset, :-1] = np.log(prices[1:] / closes[:-1, None]) * BPS
            stream[seen, asset, -1] = np.log1p(values[:, VOLUME] / self._references[name])
        return stream.reshape(series.steps, len(columns))
