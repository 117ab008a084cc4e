"""Lines of captures as cryptofeed writes them.

A line is `address <-> seconds` (a connection was opened), `address <- seconds: text` (we asked), `address -> seconds:
text` (an answer), or `seconds: text` (a message received over the connection opened before).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.capped_reading import lines_capped
from trademl_assets.sources.events.capture_source import Reading

LINE = re.compile(rb"(?:(\S+) (<->|<-|->) )?(\d{1,11})(?:\.(\d{1,12}))?(?:: (.*))?", re.DOTALL)
MICROSECOND_DIGITS = 6
ASKED = b"<-"


@dataclass(frozen=True, slots=True)
class CryptofeedLine:
    """A message that was received.

    Attributes:
        place: Instrument, day, file and line.
        address: Where it came from; empty where the file does not say.
        clock_us: When it was received, microseconds, rounded up.
        text: The message.
    """

    place: str
    address: str
    clock_us: int
    text: bytes


def received_lines(path: str, reading: Reading) -> Iterator[CryptofeedLine]:
    """Read the received messages of a file in their order.

    Raises:
        SourceError: The file cannot be read or is not in the layout.
    """
    origin = reading.origin(path)
    address = b""
    for number, line in lines_capped(Path(path), origin, reading.caps):
        place = f"{origin}, line {number}"
        match = LINE.fullmatch(line)
        if match is None:
            raise SourceError(f"{place}: expected seconds, a colon and a message -> check the layout of the capture")
        told, arrow, seconds, fraction, text = match.groups()
        address = told or address
        if arrow == ASKED or text is None:
            continue
        yield CryptofeedLine(place, address.decode("utf-8", "replace"), _microseconds(seconds, fraction or b""), text)


def _microseconds(seconds: bytes, fraction: bytes) -> int:
    # Rounded up, so that no instant sees a message that came after it.
    kept, rest = fraction[:MICROSECOND_DIGITS].ljust(MICROSECOND_DIGITS, b"0"), fraction[MICROSECOND_DIGITS:]
    return int(seconds + kept) + bool(rest.strip(b"0"))
