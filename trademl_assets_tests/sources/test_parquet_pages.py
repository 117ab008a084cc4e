import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.sources.parquet_pages import PageDamageError, require_sane_pages

VALUES = 5


def page(values: int, length: int = 8, *, dictionary: bool = False) -> bytes:
    """A page by hand: type, plain and compressed bytes, the structure that counts values, and zeros for content."""

    def i32(number: int) -> bytes:
        zigzag = (number << 1) ^ (number >> 31)
        return bytes([0x15, *([zigzag] if zigzag < 128 else [zigzag & 127 | 128, zigzag >> 7])])

    field = b"\x4c" if dictionary else b"\x2c"
    return i32(0) + i32(8) + i32(length) + field + i32(values) + b"\x00\x00" + bytes(8)


def check(content: bytes, first: int = 4, size: int | None = None) -> None:
    with mmap.mmap(-1, 4 + len(content)) as mapped:
        mapped[4:] = content
        require_sane_pages(mapped, first, len(content) if size is None else size, VALUES)


def test_sound_pages_pass_with_a_dictionary_larger_than_its_chunk() -> None:
    check(page(VALUES + 3, dictionary=True) + page(VALUES) + page(0))
    check(b"")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (page(-1), "a page of -1 values"),
        (page(VALUES) + page(VALUES + 1), "a page of 6 values at .* where 5 are possible"),
        (page(-1, dictionary=True), "a page of -1 values"),
        (page(9, dictionary=True), "a page of 9 values at .* where 8 are possible"),
        (page(VALUES, length=-8), "a page of -8 bytes"),
        (page(VALUES, length=9), "a page of 9 bytes"),
        (page(VALUES)[:5], "a page header beyond the end"),
        (b"\xff" * 30, "field of type 15"),
        (b"\x1c" * 5_000, "structures in each other"),
        (b"\x15" + b"\xff" * 30, "a number without end"),
    ],
)
def test_pages_that_cannot_be_are_refused(content: bytes, told: str) -> None:
    with pytest.raises(PageDamageError, match=told):
        check(content)


@pytest.mark.parametrize(("first", "size"), [(-1, 5), (4, -1), (4, 10_000)])
def test_chunks_outside_their_file_are_refused(first: int, size: int) -> None:
    with pytest.raises(PageDamageError, match="a chunk of"):
        check(page(VALUES), first, size)


@given(st.binary(max_size=60))
def test_any_bytes_are_passed_or_refused(content: bytes) -> None:
    try:
        check(content)
    except PageDamageError:
        return
