"""Rules on streams: at every cut, noise after it leaves everything up to it bit-identical; what lags, lags enough."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trademl_assets.datasets.build import DatasetParts, fit_clock_of, make_clock, make_mask, make_price
from trademl_assets.datasets.clock import ClockFits
from trademl_assets.datasets.cuts import Cuts, choose_cuts, publication_cuts
from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.label_kinds import LabelKind
from trademl_assets.datasets.leakage_findings import Finding
from trademl_assets.datasets.leakage_fits import FitFunction, fits_of
from trademl_assets.datasets.leakage_raw import SnapshotFunction, make_snapshots
from trademl_assets.datasets.perturbation import (
    Futures,
    StreamFunction,
    cut_steps,
    first_changed_label,
    first_difference,
    make_futures,
    randomise_publications_after,
)
from trademl_assets.datasets.sample_index import Edges, stated_edges
from trademl_assets.datasets.stream_kinds import declared_lags, make_additional

SHOWN = 3
CUTS = "the future is cut at random and at edges of every kind"
UNMOVED = "noise after a cut changes nothing before it"
ENDED = "noise after their end changes none of them"
Look = Callable[[Futures], int | None]
"""The first step up to a cut at which something changes, None where nothing does."""


def lags_of(ingredients: Ingredients) -> dict[str, tuple[int, ...]]:
    """Lags in seconds of the targets that additional streams carry, by stream."""
    return declared_lags(ingredients.parameters.streams.additional)


@dataclass(frozen=True)
class Audited:
    """The functions an audit puts to the test: streams, everything fitted, declared lags, snapshots of raw rows."""

    price: StreamFunction = make_price
    clock: Callable[[Ingredients, ClockFits], NDArray[np.float32]] = make_clock
    fits: FitFunction = fits_of
    lags: Callable[[Ingredients], Mapping[str, tuple[int, ...]]] = lags_of
    snapshots: SnapshotFunction = make_snapshots


SHIPPED = Audited()


def stream_functions(parts: DatasetParts, ingredients: Ingredients, audited: Audited) -> dict[str, StreamFunction]:
    """By name, what makes each stream on the grid's cadence that the dataset owns."""
    stated, clock_fits = ingredients.parameters.streams, fit_clock_of(ingredients)
    streams: dict[str, StreamFunction] = {}
    if stated.price is not None:
        streams["price"] = audited.price
    if "mask" in parts.arrays:
        streams["mask"] = make_mask
    if stated.clock is not None:
        streams["clock"] = lambda some: audited.clock(some, clock_fits)
    return streams | {extra: partial(make_additional, name=extra) for extra in sorted(stated.additional)}


def audit_streams(parts: DatasetParts, ingredients: Ingredients, audited: Audited) -> list[Finding]:
    """Stored streams equal their functions; neither they nor ended labels notice what follows a cut."""
    streams = stream_functions(parts, ingredients, audited)
    stored = [
        Finding.of(
            f"{name}: stored stream is what its function gives",
            holds=np.array_equal(parts.arrays[name], function(ingredients)),
            detail="compared bit by bit",
        )
        for name, function in streams.items()
    ]
    kind = ingredients.parameters.labels.build()
    looks: dict[str, Look] = {
        f"{name}: {UNMOVED}": partial(first_difference, function) for name, function in streams.items()
    }
    looks[f"labels: {ENDED}"] = partial(_first_changed_label, kind, stated_edges(parts.recipe))
    rng = np.random.default_rng(ingredients.parameters.audit.seed)
    return stored + _perturb(looks, ingredients, choose_cuts(ingredients, rng), rng)


def audit_publications(ingredients: Ingredients) -> list[Finding]:
    """External series reach no stream before their publication.

    At every chosen publication, values published after the step before it become noise; nothing else changes. At most
    `edge_cuts_at_most` publications of a series are looked at.
    """
    rng, found = np.random.default_rng(ingredients.parameters.audit.seed), []
    for name, stream in sorted(ingredients.parameters.streams.additional.items()):
        for series in stream.build().external_series:
            steps = publication_cuts(ingredients, series)
            size = min(len(steps), ingredients.parameters.audit.edge_cuts_at_most)
            steps = np.sort(rng.choice(steps, size=size, replace=False))
            leaks = _early_steps(ingredients, name, steps, rng)
            detail = "; ".join(leaks[:SHOWN]) or f"{len(steps)} publications of {series}"
            rule = f"{name}: nothing of {series} is shown before its publication"
            found.append(Finding.of(rule, holds=not leaks, detail=detail))
    return found


def audit_lags(ingredients: Ingredients, audited: Audited) -> list[Finding]:
    """Streams that carry lagged targets lag at least as long as labels last."""
    horizon = ingredients.parameters.labels.longest_horizon_seconds
    return [
        Finding.of(
            f"{name}: lagged targets lie at least a horizon back",
            holds=min(lags) >= horizon,
            detail=f"shortest lag {min(lags)} s, longest horizon {horizon} s",
        )
        for name, lags in sorted(audited.lags(ingredients).items())
    ]


def audit_long_term(parts: DatasetParts, ingredients: Ingredients) -> list[Finding]:
    """The long-term window of every decision's day ends at the day before."""
    if ingredients.parameters.streams.long_term is None:
        return []
    lookback = int(parts.recipe["streams"]["long_term"]["lookback_steps"])
    days = ingredients.context.days
    numbers = np.unique(parts.index["step"].to_numpy() // ingredients.frame.steps_per_day)
    late = [
        f"{ingredients.days[number]} is shown {days[number + lookback - 1]}"
        for number in numbers
        if number + lookback > len(days) or days[number + lookback - 1] >= ingredients.days[number]
    ]
    rule = "long_term: windows end at the previous day"
    return [Finding.of(rule, holds=not late, detail="; ".join(late[:SHOWN]) or f"{len(numbers)} days of decisions")]


def reach_of(ingredients: Ingredients) -> int:
    """How far around a cut streams and labels are made again, in steps: the longest look-back or horizon there is."""
    parameters, streams = ingredients.parameters, ingredients.parameters.streams
    lookbacks = [streams.short_lookback, *(stream.lookback for stream in streams.additional.values())]
    longest = max(
        parameters.sigma.long_window_seconds,
        max(lookbacks) // timedelta(seconds=1),
        parameters.labels.longest_horizon_seconds,
    )
    return longest // ingredients.frame.cadence_seconds + 1


def _perturb(
    looks: Mapping[str, Look], ingredients: Ingredients, cuts: Cuts, rng: np.random.Generator
) -> list[Finding]:
    """Look at the same futures with everything, since making them costs more than looking."""
    reach = reach_of(ingredients)
    leaks: dict[str, list[str]] = {rule: [] for rule in looks}
    for cut in cuts.steps.tolist():
        futures = make_futures(ingredients, cut, reach, rng)
        for rule, look in looks.items():
            step = look(futures)
            if step is not None:
                leaks[rule].append(f"a cut at {_when(ingredients, cut)} changes {_when(ingredients, step)}")
    where = Finding.of(CUTS, holds=True, detail=str(cuts))
    return [
        where,
        *(Finding.of(rule, holds=not found, detail=_summary(found, len(cuts.steps))) for rule, found in leaks.items()),
    ]


def _first_changed_label(kind: LabelKind, edges: Edges, futures: Futures) -> int | None:
    found = (
        first_changed_label(kind, each, horizon, futures.labelling(target))
        for target, of_target in edges.items()
        for horizon, each in of_target.items()
    )
    return next((step for step in found if step is not None), None)


def _summary(found: list[str], cuts: int) -> str:
    return f"{len(found)} of {cuts} cuts: {'; '.join(found[:SHOWN])}" if found else f"{cuts} cuts, all bit-identical"


def _early_steps(ingredients: Ingredients, name: str, steps: NDArray[np.int64], rng: np.random.Generator) -> list[str]:
    reach, found = reach_of(ingredients), []
    for step in steps.tolist():
        first = max(step - reach, 0)
        local = cut_steps(ingredients, first, step + 1)
        noisy = randomise_publications_after(local, int(ingredients.series.instants_us[step]), rng)
        changed = np.flatnonzero((make_additional(local, name) != make_additional(noisy, name)).any(axis=1))
        if len(changed):
            shown = _when(ingredients, first + int(changed[0]))
            found.append(f"what was published after {_when(ingredients, step)} is shown at {shown}")
    return found


def _when(ingredients: Ingredients, step: int) -> str:
    return str(np.datetime64(int(ingredients.series.instants_us[step]), "us").astype("datetime64[s]"))
