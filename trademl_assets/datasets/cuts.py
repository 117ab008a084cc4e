"""Where an audit cuts a dataset's time: random steps, and edges of all kinds in fair shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.grid.gaps import OBSERVED

Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Cuts:
    """Steps after which the future is replaced.

    Attributes:
        steps: sorted, each once.
        chosen: kind of cut -> the steps that were chosen for it, sorted.
    """

    steps: Steps
    chosen: dict[str, Steps]

    @classmethod
    def of(cls, chosen: dict[str, Steps]) -> "Cuts":
        """The cuts of all kinds; kinds without one are left out."""
        kept = {kind: steps for kind, steps in chosen.items() if len(steps)}
        return cls(np.unique(np.concatenate(list(kept.values()))) if kept else np.empty(0, np.int64), kept)

    def __str__(self) -> str:
        """How many, and of which kinds."""
        kinds = ", ".join(f"{len(steps)} {kind}" for kind, steps in self.chosen.items())
        return f"{len(self.steps)} cuts ({kinds})"


def choose_cuts(ingredients: Ingredients, rng: np.random.Generator) -> Cuts:
    """Choose random steps within the blocks and, in fair shares, edges, as the dataset's `audit` says.

    Kinds of edges: for every instrument the last observed step before a gap ("gap begins") and the last step of a gap
    ("gap ends"), the last step of a day and its first, and for every external series the last step before one of its
    publications. Steps that a gap's edge falls on for several instruments count once a kind.
    """
    audit = ingredients.parameters.audit
    first, last = ingredients.start_step, max(ingredients.end_step - 1, ingredients.start_step + 1)
    edges = {kind: steps[(steps >= first) & (steps < last)] for kind, steps in _edges(ingredients).items()}
    shares = fair_shares([len(steps) for steps in edges.values()], audit.edge_cuts_at_most)
    drawn = {
        kind: np.sort(rng.choice(steps, size=share, replace=False))
        for (kind, steps), share in zip(edges.items(), shares, strict=True)
    }
    size = min(audit.random_cuts, last - first)
    random = first + rng.choice(last - first, size=size, replace=False)
    return Cuts.of({"at random": np.sort(random), **drawn})


def fair_shares(sizes: Sequence[int], budget: int) -> list[int]:
    """How many of each stratum are taken: equally many, all of the small ones, what those leave goes to the others.

    The sum is the budget, or all there are. Shares of strata that are not taken whole differ by at most one.
    """
    shares = [0] * len(sizes)
    ascending = sorted(range(len(sizes)), key=lambda number: sizes[number])
    left = budget
    for position, number in enumerate(ascending):
        shares[number] = min(sizes[number], left // (len(sizes) - position))
        left -= shares[number]
    return shares


def observation_edges(observed: NDArray[np.bool_]) -> tuple[Steps, Steps]:
    """Of one instrument, (T,): the last observed step before each gap, and the last step of each gap."""
    change = np.diff(observed.astype(np.int8))
    return np.flatnonzero(change < 0), np.flatnonzero(change > 0)


def _edges(ingredients: Ingredients) -> dict[str, Steps]:
    series, per_day = ingredients.series, ingredients.frame.steps_per_day
    found: dict[str, Steps] = {}
    for column, name in enumerate(ingredients.parameters.instruments):
        begins, ends = observation_edges(series.state[:, column] == OBSERVED)
        found |= {f"where a gap of {name} begins": begins, f"where a gap of {name} ends": ends}
    midnights = np.arange(0, series.steps, per_day, dtype=np.int64)
    found |= {"at a day's last step": midnights[1:] - 1, "at a day's first step": midnights}
    for name in sorted(ingredients.external):
        found[f"before a publication of {name}"] = publication_cuts(ingredients, name)
    return found


def publication_cuts(ingredients: Ingredients, name: str) -> Steps:
    """The last steps before publications of an external series."""
    published = ingredients.external[name]["published"].to_physical().to_numpy()
    before = np.searchsorted(ingredients.series.instants_us, published, side="left") - 1
    return np.unique(before[before >= 0])
