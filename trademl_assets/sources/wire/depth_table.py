"""Which table holds the rows of depth, and what its columns mean."""

from typing import Annotated, Literal

from pydantic import Field

from trademl_assets.foundation.parameters import Parameters

Identifier = Annotated[str, Field(pattern=r"^[^\x00]{1,63}$")]
Text = Annotated[str, Field(pattern=r"^[^\\\x00]{1,100}$")]
"""Text that a statement quotes; a backslash is read differently from server to server."""


class LevelColumns(Parameters):
    """Layout with one row a level, bid and ask beside each other.

    Attributes:
        by: `level_columns`.
        bid_price: Column of the bid price.
        bid_quantity: Column of the bid quantity.
        ask_price: Column of the ask price.
        ask_quantity: Column of the ask quantity.
    """

    by: Literal["level_columns"]
    bid_price: Identifier
    bid_quantity: Identifier
    ask_price: Identifier
    ask_quantity: Identifier


class SideColumn(Parameters):
    """Layout with one row a level and side.

    Attributes:
        by: `side_column`.
        side: Column that says the side.
        bid: Text of a bid in it.
        ask: Text of an ask.
        price: Column of the price.
        quantity: Column of the quantity.
    """

    by: Literal["side_column"]
    side: Identifier
    bid: Text
    ask: Text
    price: Identifier
    quantity: Identifier


class DepthTable(Parameters):
    """A table of tall rows.

    Attributes:
        name: Table, with its schema before it where it is not on the search path: `[public, depth]`.
        symbol: Column that the venue's symbol stands in.
        equal: For each instrument, further columns and the text they must equal, where one symbol trades on several
            markets; empty where the symbol is enough.
        time: Column of the instant.
        time_unit: `timestamp` for a column of that type, with or without a time zone (then UTC); else what an integer
            column counts since 1970.
        batch: Column of the sequence number or batch, null where there is none; `batch_id` is 0 then.
        level: Column of the level.
        first_level: Number of the best level.
        layout: Where prices and quantities stand.
    """

    name: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=3)]
    symbol: Identifier
    equal: dict[str, dict[Identifier, Text]]
    time: Identifier
    time_unit: Literal["timestamp", "s", "ms", "us", "ns"]
    batch: Identifier | None
    level: Identifier
    first_level: Annotated[int, Field(ge=0, le=1)]
    layout: Annotated[LevelColumns | SideColumn, Field(discriminator="by")]

    @property
    def title(self) -> str:
        """Name of the table with its schema, for messages."""
        return ".".join(self.name)
