"""Step features held whole on the device that trains, where segments are cut without the host."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trademl_assets.datasets.device_windows import free_bytes
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.training.parameters import FeaturesPlace

_CPU = torch.device("cpu")


class Features(Protocol):
    """Step features by the step, wherever they lie."""

    width: int
    device: torch.device

    def copy(self, first_step: int, last_step: int, out: Tensor) -> None:
        """Copy the features of steps [first, last) into `out` (last - first, width); values are cast."""
        ...


class DailySource(Protocol):
    """Step features by the day, on the host."""

    width: int

    def day(self, number: int) -> Tensor:
        """Return (steps of a day, width) of one day."""
        ...


class HeldFeatures:
    """The features of some days as one tensor on a device; values are those of the host, bit for bit.

    Args:
        source: Where they come from.
        days: Positions in the dataset's days, ascending.
        device: Where they are held.
    """

    def __init__(self, source: DailySource, days: NDArray[np.int64], device: torch.device) -> None:
        first = source.day(int(days[0]))
        self.width, self.device = source.width, device
        self._steps_per_day = len(first)
        self._place = {int(day): number * self._steps_per_day for number, day in enumerate(days)}
        self._values = torch.empty(len(days) * self._steps_per_day, self.width, dtype=first.dtype, device=device)
        for day, place in self._place.items():
            self._values[place : place + self._steps_per_day].copy_(source.day(day))

    def copy(self, first_step: int, last_step: int, out: Tensor) -> None:
        """Copy the features of steps [first, last) into `out` (last - first, width) on the device; values are cast.

        Raises:
            ConfigError: A day of them is not held.
        """
        first, last = first_step // self._steps_per_day, (last_step - 1) // self._steps_per_day
        if any(day not in self._place for day in range(first, last + 1)):
            raise ConfigError(
                f"steps {first_step} to {last_step} are asked for, the device does not hold days {first} to {last} "
                "of the dataset -> have them held, or read them from the host"
            )
        at = self._place[first] + first_step - first * self._steps_per_day  # days that follow each other lie together
        out.copy_(self._values[at : at + last_step - first_step])


def held_bytes(source: DailySource, days: NDArray[np.int64]) -> int:
    """Bytes that the features of days take where they are held."""
    return len(days) * source.day(int(days[0])).nbytes


def held_where(
    place: FeaturesPlace,
    source: DailySource,
    days: NDArray[np.int64],
    device: torch.device,
    *,
    share: float,
    workers: int,
) -> bool:
    """Whether step features are held on the device that trains.

    Args:
        place: As configured.
        source: Features by the day.
        days: Days that the training reads.
        device: What trains.
        share: Most of the device's free memory that they may take.
        workers: Processes that lay batches.

    Raises:
        ConfigError: They are to be held on the device, which they cannot: too large, or laid by other processes.
    """
    if place == "host" or (place == "auto" and device.type != "cuda"):
        return False
    needed, free = held_bytes(source, days), free_bytes(device)
    if needed <= share * free and not workers:
        return True
    if place == "auto":
        return False
    raise ConfigError(
        f"training.yaml: step_features_on device: features of {len(days)} days take {needed} bytes, {device} has "
        f"{free} free of which {share:.0%} are allowed, and batches are laid by {workers} other processes "
        "-> write auto or host, step_features_precision fp16, a larger device_memory_share, or workers 0"
    )
