import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.encoding import ShownBook, encode_books, encode_masks
from trademl_assets.grid.half_codes import log1p_steps
from trademl_assets_tests.grid.definition import encode_distance, encode_quantity

SLOTS = 7
FIELDS = ("bid_distance_bps", "bid_quantity", "ask_distance_bps", "ask_quantity")


def book_of(distances, quantities, reference=1.0, rows=None):
    """Distances and quantities, filled up to whole snapshots, on both sides; a step for each snapshot."""
    size = -(-max(len(distances), len(quantities)) // SLOTS) * SLOTS
    arrays = [np.resize(np.asarray(values, np.float32), size).reshape(-1, SLOTS) for values in (distances, quantities)]
    frame = pl.DataFrame(
        {name: pl.Series(arrays[k % 2], dtype=pl.Array(pl.Float32, SLOTS)) for k, name in enumerate(FIELDS)}
    )
    rows = np.arange(len(frame)) if rows is None else np.asarray(rows)
    return ShownBook(frame, rows, reference, "AAA 2024-01-01")


def expected_of(book):
    """The definition, all at once."""
    rows = np.maximum(book.rows, 0)
    columns = []
    for name in FIELDS:
        values = book.snapshots[name].to_numpy()[rows]
        encoded = encode_quantity(values, book.reference_quantity) if "quantity" in name else encode_distance(values)
        columns.append(np.where((book.rows >= 0)[:, None], encoded, np.float16(0)))
    return np.stack(columns, axis=2)


def assert_encoded(book, threads=1):
    encoded = encode_books([book], len(book.rows), SLOTS, threads)
    assert encoded.tobytes() == expected_of(book).tobytes()


def neighbours(bits, reach=2):
    """Single-precision numbers at and beside bit patterns."""
    around = (np.asarray(bits, np.int64)[:, None] + np.arange(-reach, reach + 1)).reshape(-1)
    return np.clip(around, 0, 0x7F7FFFFF).astype(np.uint32).view(np.float32)


def halves_between():
    """The middles between neighbouring halves, where rounding turns, exact in single precision."""
    halves = np.arange(0, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    return (halves[1:] + halves[:-1]) / 2


def test_quantities_are_exact_beside_every_place_where_their_code_changes():
    assert len(log1p_steps()) > 20_000
    assert_encoded(book_of([0.0], neighbours(log1p_steps())))


def test_no_change_of_code_hangs_on_the_last_bits_of_the_logarithm():
    steps = log1p_steps()
    codes = np.arange(len(steps) + 1, dtype=np.uint16).view(np.float16).astype(np.longdouble)
    middles = (codes[1:] + codes[:-1]) / 2
    for beside in (steps, steps - 1):
        logs = np.log1p(beside.astype(np.uint32).view(np.float32).astype(np.longdouble))
        assert (np.abs(logs - middles) / middles).min() > 1e-14  # double precision is off by about 1e-16


def test_distances_are_exact_beside_every_place_where_rounding_turns():
    magnitudes = neighbours(halves_between().view(np.uint32))
    magnitudes = magnitudes[magnitudes <= 65_504]
    assert_encoded(book_of(np.concatenate([magnitudes, -magnitudes, [np.nan, -0.0]]), [0.0]))


@given(
    distances=st.lists(st.one_of(st.floats(-65_504, 65_504, width=32), st.just(float("nan"))), min_size=1),
    quantities=st.lists(st.one_of(st.floats(0, 2.0**125, width=32), st.just(float("nan"))), min_size=1),
    reference=st.sampled_from([1.0, 0.37, 1_234.5]),
)
@settings(max_examples=50, deadline=None)
def test_any_valid_values_are_encoded_as_defined(distances, quantities, reference):
    assert_encoded(book_of(distances, quantities, reference))


@pytest.mark.parametrize("steps", [1, 15, 16, 17, 127, 128, 129, 255, 300, 1_000])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_steps_come_out_the_same_however_they_are_shared(steps, threads):
    random = np.random.default_rng(steps)
    books = []
    for number in range(3):
        values = random.lognormal(0, 3, (2, 40 * SLOTS))
        rows = np.sort(random.integers(-1, 40, steps))
        books.append(book_of(np.minimum(values[0], 60_000), values[1], 0.5 + number, rows))

    encoded = encode_books([books[0], None, *books[1:]], steps, SLOTS, threads)

    nothing = np.zeros((steps, SLOTS, 4), np.float16)
    parts = [expected_of(books[0]), nothing, *(expected_of(book) for book in books[1:])]
    assert encoded.tobytes() == np.concatenate(parts, axis=2).tobytes()


@pytest.mark.parametrize(
    ("distance", "quantity", "found"),
    [
        (65_505.0, 1.0, "bid_distance_bps reaches 65505, half precision ends at 65504"),
        (-70_000.0, 1.0, "bid_distance_bps reaches 70000"),
        (float("inf"), 1.0, "bid_distance_bps reaches inf"),
        (1.0, -3.0, "bid_quantity / reference_quantity reaches -1.5, quantities are finite and not negative"),
        (1.0, float("inf"), "bid_quantity / reference_quantity reaches inf"),
    ],
)
def test_values_that_cannot_be_encoded_are_refused_by_name_where_they_are_shown(distance, quantity, found):
    distances, quantities = np.ones(4 * SLOTS), np.ones(4 * SLOTS)
    distances[-1], quantities[-1] = distance, quantity

    with pytest.raises(DataQualityError, match=f"AAA 2024-01-01: {found}"):
        encode_books([book_of(distances, quantities, 2.0)], 4, SLOTS, 1)
    assert_encoded(book_of(distances, quantities, 2.0, rows=[0, 1, 2, -1]))


def test_the_greatest_half_is_still_encoded():
    assert_encoded(book_of([65_504.0, -65_504.0], [3e38]))


def test_masks_are_one_hot_states_and_shares_of_the_longest_gap():
    state = np.asarray([[0, 2], [1, 2], [2, 0]], np.uint8)
    ages = np.asarray([[0, -1], [7_000_000, 11_000_000], [11_000_000, 3]])

    mask = encode_masks(state, ages, 10_000_000)

    expected = [[1, 0, 0, 0, 0, 0, 1, 1], [0, 1, 0, 0.7, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0, 0, 3e-7]]
    assert mask.tobytes() == np.asarray(expected, np.float16).tobytes()
