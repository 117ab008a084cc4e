"""A training process that is started before what it shall do is known: until it is told it imports what is slow.

It is told by one line on its standard input. Where that ends without one, it ends too.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MODULE = "trademl_assets.training.run"
WAITS = "-"
"""Stands in the command line where a process that need not wait has its specification."""


@dataclass(frozen=True)
class Order:
    """What a waiting process is told.

    Attributes:
        specification: File that says what to do.
        environment: Variables beside those it was started with.
    """

    specification: Path
    environment: Mapping[str, str]

    def line(self) -> str:
        """Return it as a line."""
        return json.dumps({"specification": str(self.specification), "environment": dict(self.environment)}) + "\n"

    @classmethod
    def read(cls, line: str) -> "Order":
        """Read what `line` wrote."""
        stated = json.loads(line)
        return cls(Path(stated["specification"]), stated["environment"])


@dataclass(frozen=True)
class WaitingProcess:
    """A process that waits for its order.

    Attributes:
        process: The process.
        environment: Variables that it was started with, beside those of this process.
    """

    process: "subprocess.Popen[str]"
    environment: Mapping[str, str]

    def suits(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether it can do what a command of `launch.build_command` would: alone, and with the variables it has.

        Threads and the allocator's settings are read as a process starts; cards are not before CUDA is first used.
        """
        alone = list(command[:-1]) == _command()
        return alone and self.process.poll() is None and self.environment.items() <= environment.items()

    def tell(self, specification: str, environment: Mapping[str, str]) -> None:
        """Give it its order; whoever told it waits for its end.

        Args:
            specification: File that says what to do.
            environment: Variables, among them those it was started with.
        """
        if self.process.stdin is None:
            raise ValueError("a waiting process is started with a standard input")
        with contextlib.suppress(BrokenPipeError):  # it has ended: its exit status tells
            self.process.stdin.write(Order(Path(specification), environment).line())
            self.process.stdin.close()

    def end(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()


def has_opened_a_card(descriptors: Path = Path("/proc/self/fd")) -> bool:
    """Whether this process has opened an NVIDIA device, as CUDA does when it first looks which there are.

    Args:
        descriptors: Where the kernel shows the files that it has open.
    """
    for descriptor in descriptors.glob("*"):
        with contextlib.suppress(OSError):  # it was the listing's own
            if str(descriptor.readlink()).startswith("/dev/nvidia"):
                return True
    return False


def _command() -> list[str]:
    return [sys.executable, "-m", MODULE]


@contextmanager
def waiting_process(store_root: Path, environment: Mapping[str, str]) -> Iterator[WaitingProcess]:
    """Start a process that waits; it is gone after the block, whether it was told something or not.

    Args:
        store_root: Where what it will read lies, for who looks at the list of processes.
        environment: Variables as `launch.build_environment` gives them.
    """
    command, inherited = [*_command(), WAITS, str(store_root)], dict(os.environ)
    process = subprocess.Popen(command, env={**inherited, **environment}, stdin=subprocess.PIPE, text=True)  # noqa: S603 -- our own command
    waiting = WaitingProcess(process, environment)
    try:
        yield waiting
    finally:
        waiting.end()
