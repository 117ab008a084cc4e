"""Parameters of the slow channel: how regimes are told apart, and which slots of the book are described together."""

from collections import Counter
from typing import Annotated, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.long_term.regimes import RegimeParameters


class LevelGroup(Parameters):
    """Slots of the compressed book that are described together.

    Attributes:
        name: Name in the table, for example `near`.
        first_slot: First slot, 0 the best level.
        last_slot: Slot after the last one.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    first_slot: Annotated[int, Field(ge=0)]
    last_slot: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _holds_a_slot(self) -> Self:
        if self.last_slot <= self.first_slot:
            raise ValueError(f"group {self.name}: last_slot {self.last_slot} must lie behind {self.first_slot}")
        return self


class LongTermParameters(Parameters):
    """The slow channel.

    Attributes:
        regimes: How market regimes are told apart.
        level_groups: Groups of slots whose quantities are described day by day; they may overlap.
    """

    regimes: RegimeParameters
    level_groups: Annotated[tuple[LevelGroup, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        repeated = [name for name, count in Counter(group.name for group in self.level_groups).items() if count > 1]
        if repeated:
            raise ValueError(f"level_groups repeat the names {repeated} -> give every group a name of its own")
        return self
