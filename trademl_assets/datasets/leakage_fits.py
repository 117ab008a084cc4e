"""Rules on what is fitted: class edges, clock and scaling know training rows only."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from trademl_assets.datasets.build import DatasetParts, fit_book, fit_clock_of, fit_streams
from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.leakage_findings import Finding, equal
from trademl_assets.datasets.perturbation import randomise_after, randomise_within
from trademl_assets.datasets.sample_index import class_edges
from trademl_assets.datasets.splits import Span
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.storage.commit import ArtifactStore

Fits = dict[str, Any]
FitFunction = Callable[[Ingredients], Fits]
ROUNDING = 1e-6
"""Relative difference that running sums may show after other values went through them."""


def fits_of(ingredients: Ingredients) -> Fits:
    """Everything fitted from the series and the daily context: class edges, clock, scaling of streams."""
    scaling, _ = fit_streams(ingredients)
    clock = fit_clock_of(ingredients)
    return {
        "class edges": class_edges(ingredients),
        "clock": [clock.largest_sigma, list(clock.volumes), clock.first_us, clock.last_us],
        **{f"scaling of {name}": [f.center.tolist(), f.scale.tolist()] for name, f in scaling.items()},
    }


def audit_fits(store: ArtifactStore, parts: DatasetParts, ingredients: Ingredients, fit: FitFunction) -> list[Finding]:
    """Fits in the recipe equal those of the training rows alone, and `fit` does not notice other rows."""
    recipe, clock = parts.recipe, parts.recipe["clock_fits"]
    stated: Fits = {
        "class edges": {key: recipe[key] for key in ("boundaries_bps", "class_edges")},
        "clock": [clock["largest_sigma"], clock["volumes"], clock["first_us"], clock["last_us"]],
        **{f"scaling of {name}": [f["center"], f["scale"]] for name, f in recipe["scaling"].items()},
    }
    before = fit(ingredients)
    refitted = fits_of(ingredients) if fit is not fits_of else before
    refitted = refitted | {
        f"scaling of {name}": [f.center.tolist(), f.scale.tolist()] for name, f in fit_book(store, ingredients).items()
    }
    rng = np.random.default_rng(ingredients.parameters.audit.seed)
    after = fit(randomise_after(ingredients, ingredients.training_span_us[1], rng))
    return [
        *(
            equal(f"{name}: fitted on training rows only", stated.get(name), refitted.get(name))
            for name in sorted(stated.keys() | refitted.keys())
        ),
        *(
            equal(f"{name}: unchanged when what follows training is noise", before[name], after[name])
            for name in sorted(before)
        ),
        *_audit_between(ingredients, before, fit, rng),
    ]


def held_out_between(ingredients: Ingredients) -> tuple[Span, ...]:
    """Held-out time before later training, without the tails that trailing windows of that training reach into."""
    long_us = ingredients.parameters.sigma.long_window_seconds * MICROSECONDS_PER_SECOND
    _, trained_us = ingredients.training_span_us
    reached = [
        Span(block.first_us, block.last_us - 2 * long_us)
        for block in ingredients.blocks
        if block.part != "train" and block.last_us < trained_us
    ]
    return tuple(span for span in reached if span.first_us < span.last_us)


def _audit_between(ingredients: Ingredients, before: Fits, fit: FitFunction, rng: np.random.Generator) -> list[Finding]:
    _, trained_us = ingredients.training_span_us
    if not any(block.part != "train" and block.last_us <= trained_us for block in ingredients.blocks):
        return []
    rule = "unchanged when held-out rows before later training are noise"
    spans = held_out_between(ingredients)
    if not spans:
        detail = "not audited: held-out blocks are shorter than the trailing windows of the training after them"
        return [Finding(f"fits: {rule}", "not audited", detail)]
    after = fit(randomise_within(ingredients, spans, rng))
    return [
        Finding.of(
            f"{name}: {rule}",
            holds=_same_but_rounding(before[name], after[name]),
            detail=f"noise within {', '.join(map(str, spans))}",
        )
        for name in sorted(before)
    ]


def _same_but_rounding(before: Any, after: Any) -> bool:
    left, right = (np.asarray(_numbers(json.loads(json.dumps(value)))) for value in (before, after))
    return left.shape == right.shape and bool(np.allclose(left, right, rtol=ROUNDING, atol=ROUNDING))


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return _numbers([value[key] for key in sorted(value)])
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    return [] if value is None else [float(value)]
