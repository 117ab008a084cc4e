"""Prices as exact integers."""

from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

KEY_LIMIT = 2**63
EXACT_LIMIT = 2**53  # below it every integer is a float64
MOST_DECIMALS = 15  # 10**decimals stays exact


class PriceKeys(dict[str, int]):
    """Exact integer keys of price texts, in units of 10**-decimals, computed once a text.

    Args:
        decimals: The finest price step that may occur, as a number of decimals.
    """

    def __init__(self, decimals: int) -> None:
        super().__init__()
        self.decimals = decimals

    def __missing__(self, text: str) -> int:
        """Parse a new price text.

        Raises:
            ValueError: Not a positive decimal number, too large for 64 bits, or finer than the unit.
        """
        try:
            scaled = Decimal(text).scaleb(self.decimals)
        except (InvalidOperation, TypeError) as error:
            raise ValueError(f"price {text!r} is not a number") from error
        if not scaled.is_finite() or not 0 < scaled < KEY_LIMIT or scaled != scaled.to_integral_value():
            raise ValueError(f"price {text!r} is not a positive number in range, of at most {self.decimals} decimals")
        self[text] = key = int(scaled)
        return key

    def prices(self, keys: NDArray[np.int64]) -> NDArray[np.float64]:
        """Prices of integer keys: the very floats that the venue's texts parse to.

        Where key and divisor are exact, their quotient rounds once, as parsing does; larger keys are divided as
        integers, which rounds once too.
        """
        prices = keys / 10.0**self.decimals
        large = np.flatnonzero(keys >= EXACT_LIMIT)
        prices[large] = [key / 10**self.decimals for key in keys[large].tolist()]
        return prices
