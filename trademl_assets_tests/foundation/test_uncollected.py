"""Within the block nothing is collected; after it the collector is as it was, and leaves what was there alone."""

import gc

import pytest

from trademl_assets.foundation.uncollected import uncollected


@pytest.fixture(autouse=True)
def collector():
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_rests_within_the_block_and_is_as_before_after_it(*, collects: bool):
    (gc.enable if collects else gc.disable)()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() is collects


def test_an_error_wakes_it_too():
    with pytest.raises(ValueError, match="broken"), uncollected():
        raise ValueError("broken")
    assert gc.isenabled()


def test_what_was_made_within_is_looked_through_no_more():
    with uncollected():
        made = [[number] for number in range(1000)]
    assert gc.get_freeze_count() >= len(made)
