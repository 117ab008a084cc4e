"""Rules on labels: they follow from observed mids at t0 and t1 and know nothing of what comes after t1."""

import numpy as np

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
    """Make every label again from the series, horizon by horizon, and hold it against the index."""
    index, series, labels = parts.index, ingredients.series, ingredients.parameters.labels
    t0, t1 = spans_of(index)
    first, last = (np.minimum(np.searchsorted(series.instants_us, some), series.steps - 1) for some in (t0, t1))
    mid, seen = target_mids(ingredients)
    with np.errstate(invalid="ignore"):
        returns = np.log(mid[last] / mid[first]) * BPS
    kind, edges = labels.build(), stated_edges(parts.recipe)
    horizons, stated = index["horizon_seconds"].to_numpy(), index["return_bps"].to_numpy()
    label = index["label"].fill_null(NO_CLASS).to_numpy()
    unseen, sigma = ~(seen[first] & seen[last]), np.full(index.height, np.nan)
    wrong = (index["step"].to_numpy() != first) | ~np.isclose(returns, stated, rtol=0, atol=RETURN_TOLERANCE_BPS)
    wrong |= ~np.isin(horizons, labels.horizons_seconds)
    for horizon in labels.horizons_seconds:
        rows = np.flatnonzero(horizons == horizon)
        outcomes = find_outcomes(kind, ingredients, first[rows], horizon)
        has_classes = bool(kind.class_names(edges[horizon]))
        classes = kind.classify(outcomes, edges[horizon]) if has_classes else np.full(len(rows), NO_CLASS)
        unseen[rows] |= ~outcomes.valid
        wrong[rows] |= (t1[rows] != outcomes.t1_us) | (stated[rows] != outcomes.return_bps) | (label[rows] != classes)
        sigma[rows] = horizon_sigma(ingredients, first[rows], horizon)
    return [
        counted("both end mids of a label were observed", unseen, index),
        counted("labels follow from the mids at t0 and t1", wrong, index),
        counted("sigma of a sample is trailing", sigma != index["sigma_bps"].to_numpy(), index),
    ]
