"""The leakage audit of a dataset: label spans, labels, fits, and streams whose future is replaced by noise."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.build import (
    DatasetParts,
    fit_book,
    fit_clock_of,
    fit_streams,
    make_clock,
    make_mask,
    make_price,
)
from trademl_assets.datasets.clock import ClockFits
from trademl_assets.datasets.ingredients import Ingredients, read_ingredients
from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.label_kinds import LabelKind, find_outcomes
from trademl_assets.datasets.labels import horizon_sigma, valid_mids
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.perturbation import (
    StreamFunction,
    choose_cuts,
    first_changed_label,
    first_difference,
    randomise_after,
)
from trademl_assets.datasets.sample_index import class_edges, stated_edges
from trademl_assets.datasets.series import GridFrame
from trademl_assets.datasets.stream_kinds import make_additional
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.storage.commit import ArtifactStore

Fits = dict[str, Any]
BPS = 1e4
RETURN_TOLERANCE_BPS = 1e-6
NO_CLASS = -1
SHOWN = 3
LONGEST_DETAIL = 120


@dataclass(frozen=True)
class Finding:
    """One rule and what the audit saw of it."""

    rule: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class LeakageReport:
    """All rules of an audit."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return all(finding.passed for finding in self.findings)

    @property
    def violations(self) -> tuple[Finding, ...]:
        """The rules that do not hold."""
        return tuple(finding for finding in self.findings if not finding.passed)

    def as_rows(self) -> list[dict[str, str | bool]]:
        """One JSON-able row a rule, for a readable table."""
        return [{"rule": f.rule, "passed": f.passed, "detail": f.detail} for f in self.findings]


def fits_of(ingredients: Ingredients) -> Fits:
    """Everything fitted from the series and the daily context: class edges, clock, scaling of streams."""
    scaling, _ = fit_streams(ingredients)
    clock = fit_clock_of(ingredients)
    return {
        "class edges": class_edges(ingredients),
        "clock": [clock.largest_sigma, list(clock.volumes), clock.first_us, clock.last_us],
        **{f"scaling of {name}": [f.center.tolist(), f.scale.tolist()] for name, f in scaling.items()},
    }


@dataclass(frozen=True)
class Audited:
    """The functions an audit puts to the test: the streams, and everything fitted."""

    price: StreamFunction = make_price
    clock: Callable[[Ingredients, ClockFits], NDArray[np.float32]] = make_clock
    fits: Callable[[Ingredients], Fits] = fits_of


SHIPPED = Audited()


def audit(store: ArtifactStore, experiment: str) -> LeakageReport:
    """Audit a materialised dataset against the partitions it was built from.

    Raises:
        MissingPartitionError, CorruptArtifactError: the dataset or its upstream cannot be read.
    """
    manifest = store.require(DATASET_ASSET, experiment)
    parts = DatasetParts(
        index=store.read_table(DATASET_ASSET, experiment, "index"),
        arrays=store.open_arrays(DATASET_ASSET, experiment, "streams"),
        recipe=store.read_json(DATASET_ASSET, experiment, "recipe"),
        upstream=dict(manifest.upstream),
    )
    return audit_parts(store, parts, SHIPPED)


def audit_parts(store: ArtifactStore, parts: DatasetParts, audited: Audited) -> LeakageReport:
    """Audit a dataset's parts: spans, labels, fits and streams, each rule a finding.

    The inputs are read again from the store as the recipe's parameters say, so that what the parts hold is compared
    with what training rows alone give; the stream and fit functions are run on inputs whose future is noise.
    """
    recipe = parts.recipe
    parameters = DatasetParameters.model_validate_json(json.dumps(recipe["parameters"]))
    grid = recipe["grid"]
    frame = GridFrame(recipe["cadence_seconds"], grid["max_gap_seconds"], tuple(grid["instruments"]))
    ingredients = read_ingredients(store, parameters, frame)
    return LeakageReport(
        (
            *audit_spans(parts.index, ingredients),
            *audit_labels(parts, ingredients),
            *audit_fits(store, parts, ingredients, audited),
            *audit_streams(parts, ingredients, audited),
        )
    )


def audit_spans(index: pl.DataFrame, ingredients: Ingredients) -> list[Finding]:
    """Every label span lies in its block; no training span overlaps a held-out one; the embargo is kept."""
    t0, t1 = (index[name].to_physical().to_numpy() for name in ("t0", "t1"))
    part, blocks = index["part"].to_numpy(), ingredients.blocks
    inside = np.zeros(index.height, dtype=np.bool_)
    embargoed = np.zeros(index.height, dtype=np.bool_)
    embargo_us = ingredients.parameters.split.embargo_seconds * MICROSECONDS_PER_SECOND
    for block in blocks:
        inside |= (part == block.part) & (t0 >= block.first_us) & (t1 <= block.last_us)
        if block.part != "train":
            since = t0 - block.last_us
            embargoed |= (part == "train") & (since >= 0) & (since < embargo_us)
    train, held_out = part == "train", part != "train"
    begun = np.searchsorted(np.sort(t0[held_out]), t1[train], side="left")
    ended = np.searchsorted(np.sort(t1[held_out]), t0[train], side="right")
    overlapping = np.zeros(index.height, dtype=np.bool_)
    overlapping[train] = begun > ended
    calibration = np.flatnonzero(part == "calibration")
    strangers = part[calibration[0] : calibration[-1] + 1] != "calibration" if len(calibration) else np.zeros(0)
    return [
        _counted("label spans end inside their block", ~inside, index),
        _counted("no training label span overlaps a held-out one", overlapping, index),
        _counted("training keeps the embargo after held-out blocks", embargoed, index),
        Finding(
            "the calibration block is contiguous", not strangers.any(), f"{int(strangers.sum())} samples of others"
        ),
    ]


def audit_labels(parts: DatasetParts, ingredients: Ingredients) -> list[Finding]:
    """Labels are what their kind and the mids at t0 and t1 say, and know nothing of what follows t1."""
    index, series, target = parts.index, ingredients.series, ingredients.target_position
    labels = ingredients.parameters.labels
    t0, t1 = (index[name].to_physical().to_numpy() for name in ("t0", "t1"))
    first, last = (np.searchsorted(series.instants_us, instants) for instants in (t0, t1))
    seen = valid_mids(series, target, labels.max_mid_age_seconds)
    mid = series.mid[:, target]
    with np.errstate(invalid="ignore"):
        returns = np.log(mid[last] / mid[first]) * BPS
    kind, edges = labels.build(), stated_edges(parts.recipe)
    label, stated = index["label"].fill_null(NO_CLASS).to_numpy(), index["return_bps"].to_numpy()
    unseen, sigma = ~(seen[first] & seen[last]), np.full(index.height, np.nan)
    wrong = (index["step"].to_numpy() != first) | ~np.isclose(returns, stated, rtol=0, atol=RETURN_TOLERANCE_BPS)
    for horizon in labels.horizons_seconds:
        rows = np.flatnonzero(index["horizon_seconds"] == horizon)
        outcomes = find_outcomes(kind, ingredients, first[rows], horizon)
        has_classes = bool(kind.class_names(edges[horizon]))
        classes = kind.classify(outcomes, edges[horizon]) if has_classes else np.full(len(rows), NO_CLASS)
        unseen[rows] |= ~outcomes.valid
        wrong[rows] |= (t1[rows] != outcomes.t1_us) | (stated[rows] != outcomes.return_bps) | (label[rows] != classes)
        sigma[rows] = horizon_sigma(ingredients, first[rows], horizon)
    return [
        _counted("both end mids of a label were observed", unseen, index),
        _counted("labels follow from the mids at t0 and t1", wrong, index),
        _counted("sigma of a sample is trailing", sigma != index["sigma_bps"].to_numpy(), index),
        _label_ends(kind, edges, ingredients),
    ]


def _label_ends(kind: LabelKind, edges: Mapping[int, NDArray[np.float64]], ingredients: Ingredients) -> Finding:
    rng = np.random.default_rng(ingredients.parameters.audit.seed)
    cuts = choose_cuts(ingredients, ingredients.parameters.audit.cuts, rng)
    reach = _reach(ingredients)
    steps = [
        (
            int(cut),
            first_changed_label(
                kind, edges[horizon], ingredients, horizon_seconds=horizon, cut=int(cut), reach=reach, rng=rng
            ),
        )
        for cut in cuts
        for horizon in edges
    ]
    return _leaks("labels: noise after their end changes none of them", steps)


def audit_fits(store: ArtifactStore, parts: DatasetParts, ingredients: Ingredients, audited: Audited) -> list[Finding]:
    """Fits in the recipe equal those of the training rows alone, and do not notice what follows training."""
    recipe, clock = parts.recipe, parts.recipe["clock_fits"]
    stated: Fits = {
        "class edges": {key: recipe[key] for key in ("boundaries_bps", "class_edges")},
        "clock": [clock["largest_sigma"], clock["volumes"], clock["first_us"], clock["last_us"]],
        **{f"scaling of {name}": [f["center"], f["scale"]] for name, f in recipe["scaling"].items()},
    }
    refitted = fits_of(ingredients)
    refitted |= {
        f"scaling of {name}": [f.center.tolist(), f.scale.tolist()] for name, f in fit_book(store, ingredients).items()
    }
    found = [
        _equal(f"{name}: fitted on training rows only", stated.get(name), refitted.get(name))
        for name in sorted(stated.keys() | refitted.keys())
    ]
    rng = np.random.default_rng(ingredients.parameters.audit.seed)
    noisy = randomise_after(ingredients, ingredients.training_span_us[1], rng)
    before, after = audited.fits(ingredients), audited.fits(noisy)
    return found + [
        _equal(f"{name}: unchanged when what follows training is noise", before[name], after[name])
        for name in sorted(before)
    ]


def audit_streams(parts: DatasetParts, ingredients: Ingredients, audited: Audited) -> list[Finding]:
    """Stored streams equal their functions; at every cut, noise after it leaves everything up to it bit-identical."""
    parameters, clock_fits = ingredients.parameters, fit_clock_of(ingredients)
    streams: dict[str, StreamFunction] = {}
    if parameters.streams.price is not None:
        streams["price"] = audited.price
    if "mask" in parts.arrays:
        streams["mask"] = make_mask
    if parameters.streams.clock is not None:
        streams["clock"] = lambda some: audited.clock(some, clock_fits)
    for extra in sorted(parameters.streams.additional):
        streams[extra] = partial(make_additional, name=extra)
    rng = np.random.default_rng(parameters.audit.seed)
    cuts = choose_cuts(ingredients, parameters.audit.cuts, rng)
    reach = _reach(ingredients)
    found = []
    for name, function in streams.items():
        same = np.array_equal(parts.arrays[name], function(ingredients))
        found.append(Finding(f"{name}: stored stream is what its function gives", same, "compared bit by bit"))
        steps = [(int(cut), first_difference(function, ingredients, int(cut), reach, rng)) for cut in cuts]
        found.append(_leaks(f"{name}: noise after a cut changes nothing before it", steps))
    return found


def _reach(ingredients: Ingredients) -> int:
    return 2 * ingredients.parameters.sigma.long_window_seconds // ingredients.frame.cadence_seconds


def _leaks(rule: str, steps: list[tuple[int, int | None]]) -> Finding:
    leaks = [f"cut at step {cut} changes step {step}" for cut, step in steps if step is not None]
    return Finding(rule, not leaks, "; ".join(leaks[:SHOWN]) or f"{len(steps)} cuts, all bit-identical")


def _counted(rule: str, wrong: NDArray[np.bool_], index: pl.DataFrame) -> Finding:
    count = int(wrong.sum())
    if not count:
        return Finding(rule, passed=True, detail=f"{index.height} samples")
    worst = index.row(int(np.flatnonzero(wrong)[0]), named=True)
    return Finding(
        rule,
        passed=False,
        detail=f"{count} of {index.height} samples; first: {worst['t0'].isoformat()} ({worst['part']})",
    )


def _equal(rule: str, stated: Any, expected: Any) -> Finding:
    if json.dumps(stated) == json.dumps(expected):
        return Finding(rule, passed=True, detail="equal")
    return Finding(rule, passed=False, detail=f"found {_short(stated)}, training rows give {_short(expected)}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST_DETAIL else f"{text[:LONGEST_DETAIL]}…"
