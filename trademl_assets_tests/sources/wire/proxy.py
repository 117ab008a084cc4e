"""A door before a server: records and changes what a client sends, and acts when enough came back."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

STARTUP_LENGTH_BYTES = 4
BLOCK_BYTES = 4096


@dataclass
class Door:
    """What a proxy does and has seen.

    Attributes:
        port: Where it listens.
        rewrite: Changes what a client sends; must keep the length.
        at_bytes: After so many bytes from the server `act` is called, once.
        act: What is done then.
        sent: Bytes that each client sent, in the order of connections.
        received: Bytes that came from the server, over all connections.
    """

    port: int
    rewrite: Callable[[bytes], bytes]
    at_bytes: int | None
    act: Callable[[], None]
    sent: list[bytearray] = field(default_factory=list)
    received: int = 0

    def messages(self) -> list[tuple[str, bytes]]:
        """Type and body of every message that clients sent after their first."""
        found = []
        for content in self.sent:
            place = int.from_bytes(content[:STARTUP_LENGTH_BYTES], "big")
            while place < len(content):
                length = int.from_bytes(content[place + 1 : place + 5], "big")
                found.append((chr(content[place]), bytes(content[place + 5 : place + 1 + length])))
                place += 1 + length
        return found

    def queries(self) -> list[str]:
        """Text of every plain statement."""
        return [body.rstrip(b"\x00").decode() for kind, body in self.messages() if kind == "Q"]


@contextmanager
def door_to(
    host: str,
    port: int,
    rewrite: Callable[[bytes], bytes] = bytes,
    at_bytes: int | None = None,
    act: Callable[[], None] = lambda: None,
) -> Iterator[Door]:
    """Listen on a free port until the context ends, and pass everything on to a server."""
    listener = socket.create_server(("127.0.0.1", 0))
    door = Door(listener.getsockname()[1], rewrite, at_bytes, act)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((host, port))
            record = bytearray()
            door.sent.append(record)
            threading.Thread(target=_upwards, args=(door, client, server, record), daemon=True).start()
            threading.Thread(target=_downwards, args=(door, client, server), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield door
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _upwards(door: Door, client: socket.socket, server: socket.socket, record: bytearray) -> None:
    try:
        while block := client.recv(BLOCK_BYTES):
            record.extend(block)
            server.sendall(door.rewrite(block))
    except OSError:
        pass
    finally:
        _close(server)


def _downwards(door: Door, client: socket.socket, server: socket.socket) -> None:
    try:
        while block := server.recv(BLOCK_BYTES):
            door.received += len(block)
            if door.at_bytes is not None and door.received >= door.at_bytes:
                door.at_bytes = None
                door.act()
            client.sendall(block)
    except OSError:
        pass
    finally:
        _close(client)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
