"""Says which known format a file is, by its first bytes and columns, or what was seen in it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.capped_parquet import PARQUET_DAMAGE
from trademl_assets.sources.capped_reading import ReadingCaps, head_capped
from trademl_assets.sources.formats.tables import HEADER_BYTES, PARQUET_MAGIC, brief_names, header_cells, is_header

_PERCENTAGE_BANDS = "its rows are cumulative percentage bands, not a level book -> use a kind that rebuilds level books"
_SUMMED_VOLUMES = (
    "its volumes are sums over several levels, so no level's quantity is known "
    "-> use a data set with the quantity of each level"
)
_CANDLES = "it holds candles, not order books -> configure it as a source of bars"
_EPOCH = re.compile(r"\d{13}|\d{16}")
_NUMBERED_LEVEL = re.compile(r"(bid|ask).*\d", re.IGNORECASE)
_COMBINED_STREAM_LINE = re.compile(rb"\s*\d{19} \{")
_CRYPTOFEED_LINE = re.compile(rb"\s*(wss?|https?)://\S+ (<->|<-|->) \d+\.\d+")
_SHOWN_BYTES = 60
_BOOK_TICKER_CELLS = 7
_KLINE_CELLS = 12


@dataclass(frozen=True)
class Recognised:
    """What a file is.

    Attributes:
        kind: Source kind that reads it, None where no known format fits.
        seen: What was seen, for people.
        refusal: Why no kind can import it, with what to do; empty where one can or where it is unknown.
    """

    kind: str | None
    seen: str
    refusal: str = ""


@dataclass(frozen=True)
class _Signature:
    columns: frozenset[str]
    kind: str | None
    title: str
    refusal: str = ""


def _signature(columns: str, kind: str | None, title: str, refusal: str = "") -> _Signature:
    return _Signature(frozenset(columns.split()), kind, title, refusal)


_SIGNATURES = (
    _signature(
        "local_timestamp is_snapshot side price amount", "tardis_incremental", "a Tardis incremental_book_L2 file"
    ),
    _signature("local_timestamp asks[0].price bids[0].price", "tardis_snapshots", "a Tardis book_snapshot file"),
    _signature("first_update_id last_update_id side update_type", "binance_depth_csv", "a Binance T_DEPTH file"),
    _signature("id timestamp price volume action direction", "order_events", "order-by-order events"),
    _signature("recv_tsec recv_tnsec payload_json", "binance_lob_capture", "a binance-lob-capture file"),
    _signature("tsec tnsec seqNo bid0 ask0", "binance_lob_capture", "the books of a binance-lob-capture"),
    _signature(
        "best_bid_price best_bid_qty best_ask_price best_ask_qty",
        "binance_book_ticker",
        "a Binance bookTicker archive",
    ),
    _signature("percentage depth notional", None, "a Binance bookDepth archive", _PERCENTAGE_BANDS),
    _signature("best_bid best_ask bid_volume ask_volume", None, "a top of book with volumes", _SUMMED_VOLUMES),
    _signature("tm b a", "json_level_files", "books with levels as JSON text"),
    _signature("mid spread_bps bid_distance_bps", "snapshot_files", "compressed snapshots"),
    _signature("open high low close", None, "bars", _CANDLES),
)


def recognise(path: Path, origin: str, caps: ReadingCaps) -> Recognised:
    """Look at the first bytes and the columns of a file.

    Args:
        path: The file, compressed or not.
        origin: Instrument, day and file, for messages.
        caps: Sizes that are refused beyond.

    Raises:
        SourceError: The file cannot be read or declares too much.
    """
    try:
        with path.open("rb") as stream:
            is_parquet = stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
        if is_parquet:
            return _of_columns(dict(pl.read_parquet_schema(path)), "Parquet with the columns")
    except FileNotFoundError as error:
        raise SourceError(f"{origin}: cannot be read ({error.strerror}) -> check the path") from error
    except PARQUET_DAMAGE as error:
        raise SourceError(f"{origin}: unreadable, damaged or truncated Parquet -> fetch the file again") from error
    return _of_text(head_capped(path, origin, caps, HEADER_BYTES))


def require_format(path: Path, origin: str, caps: ReadingCaps, kinds: frozenset[str]) -> Recognised:
    """Refuse a file of a known format that another kind reads, or that none can.

    Args:
        path: The file.
        origin: Instrument, day and file, for messages.
        caps: Sizes that are refused beyond.
        kinds: Kinds whose formats are welcome here; so is what is not recognised.

    Raises:
        SourceError: The file is of another known format; names the kind to use.
    """
    found = recognise(path, origin, caps)
    if found.refusal:
        raise SourceError(f"{origin}: {found.seen}: {found.refusal}")
    if found.kind is not None and found.kind not in kinds:
        raise SourceError(f"{origin}: {found.seen} -> use the source kind {found.kind}")
    return found


def _of_text(head: bytes) -> Recognised:
    if _COMBINED_STREAM_LINE.match(head):
        return Recognised("binance_capture", "a combined stream with the receive time of each message")
    if _CRYPTOFEED_LINE.match(head):
        return Recognised("cryptofeed_capture", "a capture of cryptofeed, address and time before each message")
    if head.lstrip()[:1] in {b"{", b"["}:
        is_depth = b'"lastUpdateId"' in head or b'"depthUpdate"' in head
        return Recognised("binance_capture" if is_depth else None, f"JSON that begins with {_shown(head)}")
    try:
        line = head.split(b"\n", 1)[0].decode("utf-8-sig").strip("\r")
        delimiter, cells = header_cells(line)
    except (UnicodeDecodeError, pl.exceptions.PolarsError):
        return Recognised(None, f"bytes that begin with {_shown(head)}")
    if is_header(cells):
        return _of_columns(dict.fromkeys(cells, None), f"text delimited by {delimiter!r} with the columns")
    return _without_header(cells, f"text of {len(cells)} columns delimited by {delimiter!r}, beginning {_shown(head)}")


def _without_header(cells: tuple[str, ...], seen: str) -> Recognised:
    if len(cells) == _BOOK_TICKER_CELLS and all(_EPOCH.fullmatch(cell) for cell in cells[-2:]):
        return Recognised("binance_book_ticker", "this is a Binance bookTicker archive without header")
    if len(cells) == _KLINE_CELLS and _EPOCH.fullmatch(cells[0]):
        return Recognised(None, "this is a Binance klines archive", _CANDLES)
    return Recognised(None, seen)


def _of_columns(columns: Mapping[str, pl.DataType | None], container: str) -> Recognised:
    names = frozenset(columns)
    for known in _SIGNATURES:
        if known.columns <= names:
            return Recognised(known.kind, f"this is {known.title}", known.refusal)
    seen = f"{container} {brief_names(tuple(columns))}"
    books = [name for name in ("bid_price", "ask_price") if isinstance(columns.get(name), pl.List)]
    if books:
        return Recognised("depth_files", seen)
    if "level" in names and {"bid_price", "ask_price"} <= names:
        return Recognised("tall_files", seen)
    if {name[:3].lower() for name in columns if _NUMBERED_LEVEL.match(name)} == {"bid", "ask"}:
        return Recognised("level_column_files", seen)
    return Recognised(None, seen)


def _shown(head: bytes) -> str:
    return repr(head[:_SHOWN_BYTES])[1:]
