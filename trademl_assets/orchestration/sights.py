"""What a check's look at one partition saw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trademl_assets.storage.commit import ArtifactStore


@dataclass(frozen=True)
class Sight:
    """What a look saw.

    Attributes:
        problem: What is wrong, empty where nothing is.
        metadata: What the UI shows beside it.
        files: Texts by file name, logged to the tracked run that made the partition.
        refuses: Whether a problem refuses the partition where the check blocks, or is only told.
    """

    problem: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    refuses: bool = True


Look = Callable[[ArtifactStore, str], str | Sight]
"""Looks at one partition; a text is a sight of nothing but the problem."""
