"""Every metric as a function of sums over decisions, so that resampling adds sums up instead of scoring again."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from trademl_assets.scoring.bins import equal_mass_edges, equal_width_edges
from trademl_assets.scoring.discrimination import placements
from trademl_assets.scoring.metrics import as_arrays, class_directions

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
compiled: Any = njit(cache=True, nogil=True)
PIECES = 4
"""Pieces that are summed side by side."""
SCALARS = ("samples", "log_loss", "brier", "entropy", "top_2", "top_3", "right_direction", "directed")


@dataclass(frozen=True)
class MetricSums:
    """Sums over consecutive decisions.

    Attributes:
        sums: (M, K), one row a cell of consecutive decisions; rows may be added up.
        classes: C.
        width_bins: Equal-width bins.
        mass_bins: Equally filled bins, their edges taken from all decisions.
        areas: (C,) area under the ROC curve of all decisions, NaN where not defined.
    """

    sums: Floats
    classes: int
    width_bins: int
    mass_bins: int
    areas: Floats

    def metrics(self, sums: Floats) -> dict[str, Floats]:
        """Metric -> (R,) from rows (R, K) that are sums of `sums`; NaN where undefined.

        All metrics of `evaluate`, and precision_c, recall_c, f1_c, ece_c, auc_c of every class c. Areas under the curve
        are linearised around those of all decisions, which is exact for the decisions as they are.
        """
        parts = self._parts(sums)
        total = parts["samples"]
        found = {name: parts[name] / total for name in ("log_loss", "brier", "entropy")}
        found |= {name: parts[name] / total for k, name in ((2, "top_2"), (3, "top_3")) if k < self.classes}
        with np.errstate(invalid="ignore", divide="ignore"):
            if parts["directed"].any():
                found["directional_accuracy"] = parts["right_direction"] / parts["directed"]
            found |= self._of_confusion(parts["confusion"])
            found |= self._of_areas(parts, total)
        for name, bins in (("", "width"), ("_equal_mass", "mass")):
            gap, count = np.abs(parts[f"{bins}_gap"]), parts[f"{bins}_count"]
            found[f"ece{name}"] = gap.sum(axis=1) / total
            found[f"mce{name}"] = np.divide(gap, count, out=np.zeros_like(gap), where=count > 0).max(axis=1)
        by_class = np.abs(parts["class_gap"]).sum(axis=2) / total[:, None]
        found["classwise_ece"] = by_class.mean(axis=1)
        found |= {f"ece_{number}": column for number, column in enumerate(by_class.T)}
        return found | self._of_brier(parts, found["brier"])

    def _of_brier(self, parts: dict[str, Floats], brier: Floats) -> dict[str, Floats]:
        """Murphy's parts, see `decompose_brier`."""
        total, count, hits = parts["samples"][:, None, None], parts["class_count"], parts["class_hits"]
        seen = np.maximum(count, 1.0)
        base = hits.sum(axis=2, keepdims=True) / total
        reliability = (parts["class_gap"] ** 2 / seen / total).sum(axis=(1, 2))
        resolution = (count * (hits / seen - base) ** 2 / total).sum(axis=(1, 2))
        uncertainty = (base * (1 - base)).sum(axis=(1, 2))
        within = brier - reliability + resolution - uncertainty
        return {
            "brier_reliability": reliability,
            "brier_resolution": resolution,
            "brier_uncertainty": uncertainty,
            "brier_within_bins": within,
        }

    def _parts(self, sums: Floats) -> dict[str, Floats]:
        c = self.classes
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(SCALARS, ())
        shapes |= {
            "confusion": (c, c),
            "width_gap": (self.width_bins,),
            "width_count": (self.width_bins,),
            "mass_gap": (self.mass_bins,),
            "mass_count": (self.mass_bins,),
            "class_gap": (c, self.width_bins),
            "class_count": (c, self.width_bins),
            "class_hits": (c, self.width_bins),
            "placed_own": (c,),
            "placed_rest": (c,),
        }
        parts, begin = {}, 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            parts[name] = sums[:, begin : begin + size].reshape(len(sums), *shape)
            begin += size
        return parts

    def _of_confusion(self, matrix: Floats) -> dict[str, Floats]:
        true, chosen, right = matrix.sum(axis=2), matrix.sum(axis=1), np.diagonal(matrix, axis1=1, axis2=2)
        recall = right / true
        precision, f1 = (
            np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
            for top, bottom in ((right, chosen), (2 * right, true + chosen))
        )
        scores = {"precision": precision, "recall": np.nan_to_num(recall), "f1": f1}
        found = {f"{name}_{c}": column for name, columns in scores.items() for c, column in enumerate(columns.T)}
        return found | {
            "accuracy": right.sum(axis=1) / true.sum(axis=1),
            "balanced_accuracy": np.nanmean(recall, axis=1),
            "weighted_f1": (f1 * true).sum(axis=1) / true.sum(axis=1),
            "macro_f1": f1.mean(axis=1),
        }

    def _of_areas(self, parts: dict[str, Floats], total: Floats) -> dict[str, Floats]:
        own = parts["confusion"].sum(axis=2)
        rest = total[:, None] - own
        areas = parts["placed_own"] / own + parts["placed_rest"] / rest - self.areas
        known = ~np.isnan(areas)
        found = {f"auc_{number}": column for number, column in enumerate(areas.T)}
        if known.any():
            found["auc_macro"] = np.where(known, areas, 0).sum(axis=1) / known.sum(axis=1)
            found["auc_weighted"] = np.where(known, areas * own, 0).sum(axis=1) / np.where(known, own, 0).sum(axis=1)
        return found


def sum_metrics(
    probabilities: ArrayLike, labels: ArrayLike, cell: int, boundaries_bps: ArrayLike | None = None
) -> MetricSums:
    """Sum up what every metric needs over cells of consecutive decisions.

    Args:
        probabilities: (N, C) in time order.
        labels: (N,).
        cell: Decisions a cell; the last cell may hold fewer.
        boundaries_bps: (C - 1,) class edges, for `directional_accuracy`; None for none.
    """
    predicted, truth = as_arrays(probabilities, labels)
    classes = predicted.shape[1]
    direction = np.zeros(classes, dtype=np.int64) if boundaries_bps is None else class_directions(boundaries_bps)
    if not ((direction > 0).any() and (direction < 0).any()):
        direction = np.zeros(classes, dtype=np.int64)
    width = equal_width_edges()
    mass = equal_mass_edges(predicted.max(axis=1))
    mass = mass if len(mass) > 1 else np.repeat(mass, 2)
    placed = placements(predicted, truth)
    own = np.bincount(truth, weights=placed[np.arange(len(truth)), truth], minlength=classes)
    with np.errstate(invalid="ignore"):
        areas = own / np.bincount(truth, minlength=classes)
    placed = np.nan_to_num(placed, copy=False)
    piece = -(-len(truth) // (cell * PIECES)) * cell

    def add_up(first: int) -> Floats:
        rows = slice(first, first + piece)
        summed: Floats = _sum(predicted[rows], truth[rows], placed[rows], direction, width, mass, cell)
        return summed

    with ThreadPoolExecutor() as threads:  # compiled code leaves the interpreter free
        sums = np.concatenate(list(threads.map(add_up, range(0, len(truth), piece))))
    return MetricSums(sums, classes, len(width) - 1, len(mass) - 1, areas)


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _bin(edges: Floats, value: float) -> int:
    low, high = 0, len(edges) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if edges[middle] <= value:
            low = middle
        else:
            high = middle
    return low


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _equal_bin(edges: Floats, value: float) -> int:
    """As `_bin` for equal-width edges over [0, 1]."""
    bins = len(edges) - 1
    place = min(int(value * bins), bins - 1)
    if value < edges[place]:
        return place - 1
    return place + 1 if place < bins - 1 and value >= edges[place + 1] else place


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _sum(  # noqa: PLR0917 -- one compiled pass, without keywords
    predicted: Floats,
    labels: Labels,
    placed: Floats,
    direction: Labels,
    width: Floats,
    mass: Floats,
    cell: int,
) -> Floats:
    rows, classes = predicted.shape
    wide, heavy = len(width) - 1, len(mass) - 1
    confusion = 8
    by_width = confusion + classes * classes
    by_mass = by_width + 2 * wide
    by_class = by_mass + 2 * heavy
    in_class = by_class + classes * wide
    true_class = in_class + classes * wide
    areas = true_class + classes * wide
    sums = np.zeros(((rows + cell - 1) // cell, areas + 2 * classes))
    eps = np.finfo(np.float64).eps
    for n in range(rows):
        into, label = sums[n // cell], labels[n]
        true = predicted[n, label]
        best, above, squares, entropy, up, down = 0, 0, 0.0, 0.0, 0.0, 0.0
        for c in range(classes):
            p = predicted[n, c]
            if p > predicted[n, best]:
                best = c
            above += p > true
            squares += p * p
            if p > 0:
                entropy -= p * np.log(p)
            if direction[c] > 0:
                up += p
            elif direction[c] < 0:
                down += p
            place = c * wide + _equal_bin(width, p)
            into[by_class + place] += (1.0 if c == label else 0.0) - p
            into[in_class + place] += 1
            into[true_class + place] += 1 if c == label else 0
            into[areas + c + (0 if c == label else classes)] += placed[n, c]
        into[0] += 1
        into[1] -= np.log(min(max(true, eps), 1 - eps))
        into[2] += squares - 2 * true + 1
        into[3] += entropy
        into[4] += above < 2  # noqa: PLR2004 -- among the two most probable
        into[5] += above < 3  # noqa: PLR2004 -- among the three most probable
        if direction[label] != 0:
            into[6] += (1 if up > down else -1) == direction[label]
            into[7] += 1
        into[confusion + label * classes + best] += 1
        top = predicted[n, best]
        gap = (1.0 if best == label else 0.0) - top
        place = _equal_bin(width, top)
        into[by_width + place] += gap
        into[by_width + wide + place] += 1
        place = _bin(mass, top)
        into[by_mass + place] += gap
        into[by_mass + heavy + place] += 1
    return sums
