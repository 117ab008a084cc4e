"""Rules on labels: they follow from observed mids at t0 and t1 and know nothing of what comes after t1."""

from itertools import product

import numpy as np
import polars as pl

from trademl_assets.datasets.build import DatasetParts
from trademl_assets.datasets.ingredients import Ingredients
from trademl_assets.datasets.label_kinds import find_outcomes
from trademl_assets.datasets.labels import horizon_sigma, target_mids
from trademl_assets.datasets.leakage_findings import Finding, counted
from trademl_assets.datasets.leakage_spans import spans_of
from trademl_assets.datasets.sample_index import stated_edges

BPS = 1e4
RETURN_TOLERANCE_BPS = 1e-6
NO_CLASS = -1


def audit_labels(parts: DatasetParts, ingredients: Ingredients) -> list[Finding]:
    """Make every label again from the series, of every target and horizon, and hold it against the index."""
    index, series = parts.index, ingredients.series
    t0, t1 = spans_of(index)
    first, last = (np.minimum(np.searchsorted(series.instants_us, some), series.steps - 1) for some in (t0, t1))
    kind, edges = ingredients.parameters.labels.build(), stated_edges(parts.recipe)
    stated, label = index["return_bps"].to_numpy(), index["label"].fill_null(NO_CLASS).to_numpy()
    # of a row of a target or horizon that the dataset does not have, nothing below is set
    unseen, wrong, sigma = np.ones(index.height, bool), np.ones(index.height, bool), np.full(index.height, np.nan)
    for target, horizon in product(ingredients.parameters.targets, ingredients.parameters.labels.horizons_seconds):
        labelled, cut = ingredients.labelling(target), edges[target][horizon]
        chosen = (pl.col("instrument") == target) & (pl.col("horizon_seconds") == horizon)
        rows = np.flatnonzero(index.select(chosen).to_series().to_numpy())
        begin, end = first[rows], last[rows]
        mid, seen = target_mids(labelled)
        with np.errstate(invalid="ignore"):
            returns = np.log(mid[end] / mid[begin]) * BPS
        outcomes = find_outcomes(kind, labelled, begin, horizon)
        classes = kind.classify(outcomes, cut) if kind.class_names(cut) else np.full(len(rows), NO_CLASS)
        unseen[rows] = ~(seen[begin] & seen[end]) | ~outcomes.valid
        wrong[rows] = (index["step"].to_numpy()[rows] != begin) | (t1[rows] != outcomes.t1_us)
        wrong[rows] |= ~np.isclose(returns, stated[rows], rtol=0, atol=RETURN_TOLERANCE_BPS)
        wrong[rows] |= (stated[rows] != outcomes.return_bps) | (label[rows] != classes)
        sigma[rows] = horizon_sigma(labelled, begin, horizon)
    return [
        counted("both end mids of a label were observed", unseen, index),
        counted("labels follow from the mids at t0 and t1", wrong, index),
        counted("sigma of a sample is trailing", sigma != index["sigma_bps"].to_numpy(), index),
    ]
