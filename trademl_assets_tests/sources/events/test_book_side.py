"""The order of a side and the exactness of prices, against plain arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.sources.events.book_side import BookSide
from trademl_assets.sources.events.price_keys import PriceKeys


@given(
    steps=st.lists(st.dictionaries(st.integers(1, 30), st.integers(0, 3), max_size=8), min_size=1, max_size=12),
    side=st.builds(BookSide, highest_first=st.booleans()),
    most=st.integers(1, 12),
)
def test_the_best_levels_are_those_of_a_full_sort(steps: list[dict[int, int]], side: BookSide, most: int) -> None:
    for step in steps:
        for key, quantity in step.items():
            side.moved.add(key)
            if quantity:
                side.levels[key] = float(quantity)
            else:
                side.levels.pop(key, None)
        expected = sorted(side.levels, reverse=side.highest_first)[:most]
        best = side.best(most)
        assert best.tolist() == expected
        assert side.quantities(best).tolist() == [side.levels[key] for key in expected]


@given(levels=st.dictionaries(st.integers(1, 30), st.just(1.0)), most=st.integers(1, 12))
def test_levels_beyond_the_depth_are_forgotten(levels: dict[int, float], most: int) -> None:
    side = BookSide(highest_first=True, levels=dict(levels), moved=set(levels))

    side.keep_best(most)

    assert sorted(side.levels, reverse=True) == sorted(levels, reverse=True)[:most]
    assert side.best(100).tolist() == sorted(levels, reverse=True)[:most]


@given(whole=st.integers(0, 10**9), fraction=st.integers(0, 10**8 - 1), decimals=st.integers(8, 9))
def test_prices_are_the_floats_that_their_texts_parse_to(whole: int, fraction: int, decimals: int) -> None:
    text = f"{whole}.{fraction:08}"
    keys = PriceKeys(decimals)
    if not whole + fraction:
        with pytest.raises(ValueError, match="not a positive number"):
            keys[text]
        return

    assert keys.prices(np.array([keys[text]])).tolist() == [float(text)]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e12", "0.001", "", "one", "1,5"])
def test_prices_that_cannot_be_kept_exactly_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="price "):
        PriceKeys(2)[text if text != "1e12" else "1e300"]
