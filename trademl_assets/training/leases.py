"""Leases of GPUs: one lock file a card, freed by the kernel with its holder, whatever ended it. Free of torch."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.locking import locked, locked_if_free
from trademl_assets.training.parameters import Devices

MOST_DEVICES = 2
_POLL_SECONDS = 0.2
VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"


def shown(names: Sequence[str]) -> dict[str, str]:
    """Return the variables that show a process these cards and no others, numbered as their locks are."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE_VARIABLE: ",".join(names)}


@dataclass(frozen=True)
class Cards:
    """The cards of this machine and where their locks lie, one folder for all deployments on it.

    Attributes:
        folder: Of the locks.
        names: Cards as CUDA_VISIBLE_DEVICES names them.
    """

    folder: Path
    names: tuple[str, ...]

    def wanted(self, devices: Devices) -> int:
        """Return how many cards a training takes; none where there are none or the CPU is asked for.

        Raises:
            ConfigError: It asks for more than there are.
        """
        if devices == "cpu" or not self.names:
            return 0
        count = min(len(self.names), MOST_DEVICES) if devices == "auto" else int(devices)
        if count > len(self.names):
            raise ConfigError(
                f"training.yaml: devices {devices} asks for {count} GPUs, there are {len(self.names)} -> write auto"
            )
        return count

    @contextmanager
    def lease(self, count: int, say: Callable[[str], None] = lambda _line: None) -> Iterator[tuple[str, ...]]:
        """Hold so many cards; wait until they are free.

        Cards are gathered by one at a time, in the order of asking: who gathers holds what is free and waits for the
        rest, who comes later waits for its turn. So nobody who waits for one card overtakes a training of two, and
        nobody who holds cards waits for another who does.

        Args:
            count: Number of cards.
            say: Takes a line when there is something to wait for.

        Yields:
            The names of the cards.
        """
        with ExitStack() as held:
            taken: list[str] = []
            with locked(self.folder / "turn"):
                if not self._take(held, taken, count):
                    say(f"waiting for {count - len(taken)} of {count} GPU(s); this machine has {len(self.names)}")
                while not self._take(held, taken, count):
                    time.sleep(_POLL_SECONDS)
            yield tuple(sorted(taken))

    def _take(self, held: ExitStack, taken: list[str], count: int) -> bool:
        for name in self.names:
            if len(taken) < count and name not in taken:
                with ExitStack() as attempt:
                    if attempt.enter_context(locked_if_free(self.folder / f"card_{name}")):
                        held.push(attempt.pop_all())
                        taken.append(name)
        return len(taken) >= count


def find_cards(
    folder: Path,
    visible: str | None,
    devices: Path = Path("/dev"),
    facts: Path = Path("/proc/driver/nvidia/gpus"),
) -> Cards:
    """Return the NVIDIA cards of this machine that CUDA_VISIBLE_DEVICES leaves visible, with their locks in a folder.

    Args:
        folder: Of the locks.
        visible: Value of CUDA_VISIBLE_DEVICES, as whoever shares out the machine hands it on; None where it is not set.
        devices: Where the kernel shows the cards.
        facts: Where the driver tells their identifiers.
    """
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in devices.glob("nvidia*"))
    numbers = sorted(int(match.group(1)) for match in found if match)
    return Cards(folder, _visible([str(number) for number in numbers], visible, facts))


def _visible(names: Sequence[str], visible: str | None, facts: Path) -> tuple[str, ...]:
    """Those cards that a value of CUDA_VISIBLE_DEVICES names, in its order; as for CUDA, it ends at the first unknown.

    A card may be named by its number or by the beginning of its identifier, and has one lock in either case.
    """
    if visible is None:
        return tuple(names)
    identifiers = dict(_identifiers(facts))
    chosen: list[str] = []
    for stated in visible.split(","):
        asked = stated.strip()
        meant = [number for known, number in identifiers.items() if known.startswith(asked)]
        name = meant[0] if len(meant) == 1 and asked.startswith("GPU-") else asked
        if name not in names or name in chosen:
            break
        chosen.append(name)
    return tuple(chosen)


def _identifiers(facts: Path) -> Iterator[tuple[str, str]]:
    """Yield identifier and number of each card that the driver tells of."""
    for path in facts.glob("*/information"):
        stated = dict(re.findall(r"^([^:\n]+?)\s*:\s*(.*?)\s*$", path.read_text("utf-8"), flags=re.MULTILINE))
        if {"GPU UUID", "Device Minor"} <= stated.keys():
            yield stated["GPU UUID"], stated["Device Minor"]


@contextmanager
def occupied(folder: Path, name: str) -> Iterator[None]:
    """Hold a card from the process that computes on it: the one before may outlive its lease by a moment."""
    with locked(folder / f"running_{name}"):
        yield
