"""What a recipe says about its split: folds, degradation blocks, sizes that fall short, and what was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.folds import Fold, fold_rows, judge_rows
from trademl_assets.datasets.split_kinds import SplitLayout
from trademl_assets.datasets.split_parameters import Split
from trademl_assets.datasets.splits import Instants, effective_samples, in_hindsight, trains_after
from trademl_assets.foundation.calendar import MICROSECONDS_PER_SECOND
from trademl_assets.foundation.errors import DataQualityError

Described = Mapping[str, Any]


@dataclass(frozen=True)
class SplitReport:
    """Recipe entries about the split, and warnings."""

    entries: dict[str, Any]
    warnings: tuple[str, ...]


def report_split(split: Split, layout: SplitLayout, index: pl.DataFrame, blocks: Sequence[Described]) -> SplitReport:
    """Describe folds and degradation blocks, and hold sizes against `minimum_effective_samples`.

    Args:
        split: as stated.
        layout: as laid.
        index: columns t0, t1, on_stride of the samples, in time order.
        blocks: the recipe's blocks, in the layout's order: part, samples, on_stride, effective_samples.

    Returns:
        Entries `longest_label_seconds`, `folds`, `degradation`, `calibration_from`, `split_notes`; and a warning for
        every short part.

    Raises:
        DataQualityError: A part falls short where that is refused, or a fold has no rows to train or validate on.
    """
    t0, t1 = (index[name].to_physical().to_numpy() for name in ("t0", "t1"))
    on_stride = index["on_stride"].to_numpy()
    folds = [
        describe_fold(number, fold, t0, t1, on_stride, embargo_seconds=split.embargo_seconds)
        for number, fold in enumerate(layout.folds, 1)
    ]
    notes = [*layout.notes, *_hindsight_notes(layout)]
    short = _short_parts(split, layout, blocks)
    calibration_from = "block"
    if split.calibrates_out_of_fold and "calibration" in short:
        calibration_from = "out_of_fold"
        effective = out_of_fold_samples(layout.folds, t0, t1, on_stride, embargo_seconds=split.embargo_seconds)
        told = f"out-of-fold predictions of the {len(folds)} folds, {effective:.0f} independent labels"
        notes.append(f"{short['calibration']}: calibration uses the {told}")
        if effective >= split.minimum_effective_samples["calibration"]:
            del short["calibration"]
        else:
            short["calibration"] += f", and so have the {told}"
    if short and split.on_short_part == "refuse":
        raise DataQualityError(f"{'; '.join(short.values())}; lengthen the part, or shorten the horizon")
    entries = {
        "longest_label_seconds": int((t1 - t0).max()) // MICROSECONDS_PER_SECOND,
        "folds": folds,
        "degradation": _describe_degradation(layout, blocks),
        "calibration_from": calibration_from,
        "split_notes": notes,
    }
    return SplitReport(entries, tuple(short.values()))


def describe_fold(
    number: int, fold: Fold, t0_us: Instants, t1_us: Instants, on_stride: NDArray[np.bool_], *, embargo_seconds: int
) -> dict[str, Any]:
    """Spans (microseconds UTC), samples and n_eff of a fold; validation and n_eff count the decision stride alone.

    `hindsight`: whether any of its training lies after a validation stretch.

    Raises:
        DataQualityError: There is nothing to train or to validate on.
    """
    rows = judge_rows(fold, t0_us, t1_us, embargo_seconds)
    trained, validated = rows.train & on_stride, rows.validation & on_stride
    if not trained.any() or not validated.any():
        raise DataQualityError(
            f"fold {number} has {int(trained.sum())} samples to train and {int(validated.sum())} to validate on "
            f"(validation {', '.join(str(span) for span in fold.validation)}); use fewer or longer folds, or look for "
            "gaps in the grid"
        )
    return {
        "train": [[span.first_us, span.last_us] for span in fold.train],
        "validation": [[span.first_us, span.last_us] for span in fold.validation],
        "train_samples": int(rows.train.sum()),
        "validation_samples": int(validated.sum()),
        "purged": int(rows.purged.sum()),
        "embargoed": int(rows.embargoed.sum()),
        "effective_samples": {
            "train": effective_samples(t0_us[trained], t1_us[trained]),
            "validation": effective_samples(t0_us[validated], t1_us[validated]),
        },
        "hindsight": trains_after(fold.train, fold.validation),
    }


def out_of_fold_samples(
    folds: Sequence[Fold], t0_us: Instants, t1_us: Instants, on_stride: NDArray[np.bool_], *, embargo_seconds: int
) -> float:
    """Independent labels that at least one fold validates on."""
    predicted = np.zeros(len(t0_us), dtype=np.bool_)
    for fold in folds:
        predicted |= fold_rows(fold, t0_us, t1_us, embargo_seconds)[1]
    predicted &= on_stride
    return effective_samples(t0_us[predicted], t1_us[predicted])


def _describe_degradation(layout: SplitLayout, blocks: Sequence[Described]) -> list[dict[str, Any]]:
    return [
        {
            "name": block.name,
            "first_us": block.first_us,
            "last_us": block.last_us,
            "samples": described["samples"],
            "effective_samples": described["effective_samples"],
            "hindsight": in_hindsight(block, layout.blocks),
        }
        for block, described in zip(layout.blocks, blocks, strict=True)
        if block.part == "degradation"
    ]


def _hindsight_notes(layout: SplitLayout) -> list[str]:
    return [
        f"the {block} lies before later training: what is measured on it is hindsight"
        for block in layout.blocks
        if in_hindsight(block, layout.blocks)
    ]


def _short_parts(split: Split, layout: SplitLayout, blocks: Sequence[Described]) -> dict[str, str]:
    """Part, or name of a degradation block -> a sentence, for all that have fewer independent labels than stated."""
    sentences: dict[str, str] = {}
    for part, least in split.minimum_effective_samples.items():
        effective = sum(described["effective_samples"] for described in blocks if described["part"] == part)
        if part != "degradation" and effective < least:
            sentences[part] = f"part {part} has {effective:.0f} independent labels, fewer than {least}"
    least = split.minimum_effective_samples.get("degradation", 0)
    for block, described in zip(layout.blocks, blocks, strict=True):
        if block.part == "degradation" and described["effective_samples"] < least:
            sentences[f"degradation {block.name}"] = (
                f"degradation block {block.name!r} has {described['effective_samples']:.0f} independent labels, "
                f"fewer than {least}"
            )
    return sentences
