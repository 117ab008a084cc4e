"""Source kind `cryptofeed_capture`: books rebuilt from captures of cryptofeed, several symbols in one file."""

import heapq
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.sources.contract import SOURCES, InstrumentParameters
from trademl_assets.sources.events.binance_messages import is_answer, read_answer, read_diff
from trademl_assets.sources.events.capture_source import CaptureDays, CaptureSource, DiffParameters, Reading
from trademl_assets.sources.events.checksum_protocols import KrakenProtocol, OkxProtocol
from trademl_assets.sources.events.continuity import AscendingNumbers, SequenceRule, binance_chain
from trademl_assets.sources.events.cryptofeed_lines import CryptofeedLine, received_lines
from trademl_assets.sources.events.exchange_protocols import BybitProtocol, CoinbaseProtocol, ExchangeProtocol
from trademl_assets.sources.events.json_messages import not_in_layout, parsed
from trademl_assets.sources.events.messages import Message

HOSTS: Mapping[str, frozenset[str]] = {
    "binance spot": frozenset({"stream.binance.com", "api.binance.com"}),
    "binance usdm": frozenset({"fstream.binance.com", "fapi.binance.com"}),
    "binance coinm": frozenset({"dstream.binance.com", "dapi.binance.com"}),
    "bybit": frozenset({"stream.bybit.com"}),
    "coinbase": frozenset({"ws-feed.pro.coinbase.com", "ws-feed.exchange.coinbase.com"}),
    "kraken": frozenset({"ws.kraken.com"}),
    "okx": frozenset({"ws.okx.com"}),
}
PROTOCOLS: Mapping[str, Callable[[], ExchangeProtocol]] = {
    "bybit": BybitProtocol,
    "coinbase": CoinbaseProtocol,
    "kraken": KrakenProtocol,
    "okx": OkxProtocol,
}
MOST_NAMED = 12


class CryptofeedCapture(CaptureDays):
    """Files of one exchange; the clock is the receive time.

    Attributes:
        exchange: Whose messages they are.
        symbol: Symbol as the exchange writes it, such as `XBT/CHF`; without its signs it is the instrument's.
        streams: Files of websocket messages, merged by their clock.
        answers: Files of REST answers (Binance); empty where there are none.
    """

    exchange: Literal["binance", "bybit", "coinbase", "kraken", "okx"]
    symbol: Annotated[str, Field(min_length=2)]
    streams: Annotated[tuple[EnvironmentText, ...], Field(min_length=1)]
    answers: tuple[EnvironmentText, ...]


class CryptofeedCaptureParameters(DiffParameters):
    """Parameters of `cryptofeed_capture`.

    Attributes:
        captures: Captures of each instrument in the order of time.
    """

    captures: dict[str, Annotated[tuple[CryptofeedCapture, ...], Field(min_length=1)]]


@SOURCES.register("cryptofeed_capture")
class CryptofeedCaptureSource(CaptureSource[CryptofeedCapture]):
    """Books rebuilt from cryptofeed's captures; `batch_id` is the venue's number, else that of the message.

    A lost message shows on Binance (numbers), Kraken and OKX (checksums) and, mostly, Bybit (levels that should be
    there); Coinbase's channel tells nothing of it.

    Args:
        parameters: What to read.
        instruments: Configured instruments by name.

    Raises:
        ConfigError: A capture is given for an instrument that is not configured or has another symbol.
    """

    parameters = CryptofeedCaptureParameters

    def __init__(
        self, parameters: CryptofeedCaptureParameters, instruments: Mapping[str, InstrumentParameters]
    ) -> None:
        super().__init__(parameters, parameters.captures, parameters.policy, instruments)
        for name, captures in parameters.captures.items():
            for capture in captures:
                require_same_symbol(instruments[name], capture.symbol)

    def files(self, capture: CryptofeedCapture) -> tuple[EnvironmentText, ...]:
        """Files of a capture, those that hold its changes first."""
        return (*capture.streams, *capture.answers)

    def rule(self, instrument: InstrumentParameters, capture: CryptofeedCapture) -> SequenceRule:
        """How the messages of a capture follow one another."""
        return binance_chain(instrument.market) if capture.exchange == "binance" else AscendingNumbers()

    def messages(self, reading: Reading, capture: CryptofeedCapture) -> Iterator[Message]:
        """Messages of a capture in the order of its clock."""
        venue = f"binance {reading.instrument.market}" if capture.exchange == "binance" else capture.exchange
        # Of two messages with the same clock the answer comes first: it contains what was sent before it.
        files = (*capture.answers, *capture.streams)
        lines = heapq.merge(*(received_lines(file, reading) for file in files), key=lambda line: line.clock_us)
        seen: set[str] = set()
        found = False
        checked_lines = (line for line in lines if _require_host(line, venue))
        reader = _binance if capture.exchange == "binance" else _in_stream
        for message in reader(checked_lines, capture, seen):
            found = True
            yield message
        if not found:
            raise SourceError(
                f"{reading.origin(capture.streams[0])}: no book message of symbol {capture.symbol!r}, found are "
                f"{', '.join(sorted(seen)[:MOST_NAMED]) or 'none at all'} -> check symbol and exchange of the capture"
            )


def require_same_symbol(instrument: InstrumentParameters, symbol: str) -> None:
    """Check that a venue's way to write a symbol is that of the instrument.

    Raises:
        ConfigError: It is another symbol.
    """
    if _bare(symbol) != _bare(instrument.symbol):
        raise ConfigError(
            f"a capture of {instrument.name} names symbol {symbol!r}, the instrument's is {instrument.symbol!r} -> "
            "correct one of them (signs and case do not matter)"
        )


def _bare(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())


def _require_host(line: CryptofeedLine, venue: str) -> bool:
    try:
        host = urlsplit(line.address).hostname
    except ValueError:
        host = line.address
    if host is not None and host not in HOSTS[venue]:
        raise SourceError(
            f"{line.place}: the message came from {host}, expected for {venue} is {' or '.join(sorted(HOSTS[venue]))} "
            "-> check the exchange of the capture and the market of the instrument"
        )
    return True


def _binance(lines: Iterator[CryptofeedLine], capture: CryptofeedCapture, seen: set[str]) -> Iterator[Message]:
    for line in lines:
        message = parsed(line.text, line.place)
        if is_answer(message):
            symbol = parse_qs(urlsplit(line.address).query).get("symbol", [""])[0]
            seen.add(symbol)
            if symbol == capture.symbol:
                yield read_answer(message, symbol, line.clock_us, line.place)
            continue
        payload = message.get("data", message) if isinstance(message, dict) else message
        if isinstance(payload, dict) and "s" in payload:
            seen.add(str(payload["s"]))
            diff = read_diff(payload, capture.symbol, line.clock_us, line.place, only=False)
            if diff is not None:
                yield diff


def _in_stream(lines: Iterator[CryptofeedLine], capture: CryptofeedCapture, seen: set[str]) -> Iterator[Message]:
    protocol = PROTOCOLS[capture.exchange]()
    for number, line in enumerate(lines, start=1):
        message: Any = parsed(line.text, line.place)
        try:
            symbol = protocol.symbol_of(message)
            if symbol is None:
                continue
            seen.add(symbol)
            if symbol == capture.symbol:
                yield protocol.read(message, line.clock_us, number, line.place)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise not_in_layout(line.place, error) from error
