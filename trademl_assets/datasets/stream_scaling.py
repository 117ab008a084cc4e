"""The fitted statistics of a stream as an opened dataset gives them, and how they are applied."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scaling:
    """Statistics of one stream, fitted on training rows: scaled = clip((x - center) / scale, -clip, clip).

    Attributes:
        center, scale: float32, of the stream's shape per step (book: (levels, assets*4)); long_term: (stats, assets).
        clip: bound of the scaled value.
    """

    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return scaled float32 values of the same shape (…, *shape per step)."""
        centred = (values.astype(np.float32) - self.center) / self.scale
        return np.clip(centred, np.float32(-self.clip), np.float32(self.clip), out=centred)
