"""Headless Chromium, spoken to over its debugging protocol: opens a page and reads the text that it shows."""

import itertools
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

CHROMIUM = Path("/usr/bin/chromium")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1600,1200",
    "--remote-debugging-port=0",
)
_START_SECONDS = 60
_PAGE_SECONDS = 60


class Browser:
    """A browser with one page, ended with its `with` block.

    Args:
        folder: Empty folder for its profile.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [str(CHROMIUM), *_FLAGS, f"--user-data-dir={self._folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._socket = self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def read(self, address: str, complete: Callable[[str], bool]) -> str:
        """Open a page and return its text as soon as it is complete, or as it is when patience ends."""
        self._call("Page.navigate", url=address)
        deadline = time.monotonic() + _PAGE_SECONDS
        text = ""
        while not complete(text) and time.monotonic() < deadline:
            time.sleep(0.2)
            text = str(self._evaluate("document.body ? document.body.innerText : ''"))
        return text

    def overflow(self, address: str, width: int) -> int:
        """Open a page at a width, unfold all of it, and return how many pixels it is wider than its window."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.read(address, bool)
        self._evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        return int(self._evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def shown_width(self, selector: str) -> int:
        """Return how many pixels wide the first element of the opened page that a selector names is shown."""
        return int(self._evaluate(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().width"))

    def _evaluate(self, expression: str) -> Any:
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=_PAGE_SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _connect(self) -> ClientConnection:
        deadline = time.monotonic() + _START_SECONDS
        file = self._folder / "DevToolsActivePort"
        while not (file.exists() and "\n" in file.read_text()):
            assert self._process.poll() is None, "the browser ended"
            assert time.monotonic() < deadline, "the browser does not listen"
            time.sleep(0.05)
        port = file.read_text().splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        return connect(pages[0]["webSocketDebuggerUrl"], max_size=None)
