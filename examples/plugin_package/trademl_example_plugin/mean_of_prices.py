"""A model family: one linear layer on the means of the price stream, and of others, over the last steps."""

from typing import Annotated

from pydantic import Field

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.models.registry import ModelFamily


class MeanOfPricesParameters(Parameters):
    """Parameters of `mean_of_prices`.

    Attributes:
        steps: Steps averaged before each decision.
        beside: Names of additional streams whose means stand beside those of the prices.
    """

    steps: Annotated[int, Field(ge=1)]
    beside: tuple[str, ...]

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams that the network reads."""
        return ("price", *self.beside)


FAMILY = ModelFamily(MeanOfPricesParameters, "trademl_example_plugin.mean_of_prices_network:build")
"""Named without torch; the network's module is imported when it is built."""
