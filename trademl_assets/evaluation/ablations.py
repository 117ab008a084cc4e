"""What each ablation costs: models that read less, held against the model they follow on the same test decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.evaluation.best_possible import CEILING, divergences
from trademl_assets.evaluation.comparison import OWN
from trademl_assets.evaluation.judge import decisions
from trademl_assets.evaluation.references import VOLATILITY_REFERENCES
from trademl_assets.evaluation.significance import bootstrap_means, interval
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.predictions import class_columns

Floats = NDArray[np.float64]
DIVERGENCES = "divergences"
"""Name of the table of `tabulate_divergences` in an evaluation; it is there where an optimum is known."""
SCHEMA = {
    "model": pl.String,
    "of": pl.String,
    "verdict": pl.String,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "lost": pl.Float64,
    "lost_low": pl.Float64,
    "lost_high": pl.Float64,
    "share": pl.Float64,
    "share_low": pl.Float64,
    "share_high": pl.Float64,
    "ceiling": pl.Float64,
    "share_lost": pl.Float64,
    "share_lost_low": pl.Float64,
    "share_lost_high": pl.Float64,
    "ceiling_lost": pl.Float64,
}
"""One row a model, nats a decision. `lost`: log-loss of the ablation minus that of the model it follows. `share`: of
the best possible; `ceiling`: that of the best forecast that reads no more. Null where there is nothing to lose or no
optimum is known."""


@dataclass(frozen=True)
class Compared:
    """One model as it was evaluated.

    Attributes:
        verdict: On the model.
        losses: Table of `decision_losses`.
        divergences: Table of `tabulate_divergences`; None where no optimum is known.
    """

    verdict: str
    losses: pl.DataFrame
    divergences: pl.DataFrame | None


@dataclass(frozen=True)
class AblationStudy:
    """What the ablations of an experiment's models cost.

    Attributes:
        table: Of `SCHEMA`: every model that has ablations, followed by these.
        reference: Forecast that the gains are over: of those that know the volatility alone the harder to beat.
        decisions: Test decisions that all of them made.
        confidence: Of the intervals, two-sided.
    """

    table: pl.DataFrame
    reference: str
    decisions: int
    confidence: float

    def facts(self) -> dict[str, Any]:
        """Return everything beside the table, as JSON."""
        return {"reference": self.reference, "decisions": self.decisions, "confidence": self.confidence}


def tabulate_divergences(predictions: pl.DataFrame, optimum: Mapping[str, Floats]) -> pl.DataFrame:
    """KL(p*||q) in nats at every test decision in time order: sample, and a column for each of `divergences`.

    Args:
        predictions: Table of `calibrate_predictions`.
        optimum: As `judge_model`.
    """
    rows = decisions(predictions)
    return rows.select("sample").with_columns(**divergences(class_columns(rows, "after"), optimum))


def study_ablations(
    compared: Mapping[str, Compared],
    followed: Mapping[str, str],
    block_samples: float,
    *,
    minimum_attainable_nats: float,
    replicates: int,
    confidence: float,
    seed: int,
) -> AblationStudy:
    """Compare ablations with the models that they follow; all differences and shares come of the same blocks.

    Args:
        compared: Model -> what was found of it, all on the same dataset.
        followed: Ablation -> model.
        block_samples: Mean length of a bootstrap block in decisions.
        minimum_attainable_nats: Mean KL(p*||volatility) below which there are no shares.
        replicates: Of the bootstrap.
        confidence: Of the intervals.
        seed: Of the blocks.

    Raises:
        EvaluationError: The models share no decision.
    """
    names = [name for model in sorted(set(followed.values())) for name in (model, *_following(followed, model))]
    losses = _shared({name: compared[name].losses for name in names})
    known = [name for name in VOLATILITY_REFERENCES if name in compared[names[0]].losses.columns]
    references = compared[names[0]].losses.join(losses.select("sample"), on="sample", maintain_order="right")
    reference = min(known, key=lambda name: float(references[name].to_numpy().mean()))
    own = losses.select(names).to_numpy()
    columns = [references[reference].to_numpy()[:, None] - own]
    shares = _divergences([compared[name] for name in names], losses["sample"], minimum_attainable_nats)
    if shares is not None:
        columns.append(shares)
    values = np.concatenate(columns, axis=1)
    drawn = bootstrap_means(values, block_samples, replicates, seed)
    found = [_figures(values.mean(axis=0)[None], len(names)), _figures(drawn, len(names))]
    rows = []
    for place, name in enumerate(names):
        base = names.index(followed.get(name, name))
        said = {"model": name, "of": followed.get(name), "verdict": compared[name].verdict}
        rows.append({**said, **_row(found, place, None if base == place else base, confidence)})
    return AblationStudy(pl.DataFrame(rows, schema=SCHEMA), reference, losses.height, confidence)


def describe_ablations(study: AblationStudy) -> str:
    """Say in one line what each ablation loses, and whether that is more than chance.

    By the share of the best possible where that is known, because it is free of the noise of labels; else in nats.
    """
    return "; ".join(_said(row) for row in study.table.filter(pl.col("of").is_not_null()).iter_rows(named=True))


def _said(row: Mapping[str, Any]) -> str:
    planted = row["share_lost"] is not None
    lost, low, high = (row[f"{'share_lost' if planted else 'lost'}{end}"] for end in ("", "_low", "_high"))
    figures = f"{lost:+.3f} [{low:+.3f}, {high:+.3f}]" if planted else f"{lost:+.4f} [{low:+.4f}, {high:+.4f}]"
    verdict = "more than chance" if low > 0 else "ahead of it" if high < 0 else "which may be chance"
    unit = "of the best possible" if planted else "nats"
    reached = f", reaches {row['share']:.3f}" if planted else ""
    allowed = "" if row["ceiling"] is None else f" of the {row['ceiling']:.3f} that its reading allows"
    return f"{row['model']} against {row['of']}: lost {figures} {unit}, {verdict}{reached}{allowed}"


def _following(followed: Mapping[str, str], model: str) -> list[str]:
    return sorted(name for name, of in followed.items() if of == model)


def _shared(losses: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """`sample` and the loss of every model on the decisions that all of them made, in time order."""
    first, *others = losses
    shared = losses[first].select("sample", pl.col(OWN).alias(first))
    for name in others:
        own = losses[name].select("sample", pl.col(OWN).alias(name))
        shared = shared.join(own, on="sample", how="inner", maintain_order="left")
    if shared.is_empty():
        raise EvaluationError(f"{', '.join(losses)} share no test decision -> evaluate them on the same dataset")
    return shared


def _divergences(models: Sequence[Compared], samples: pl.Series, minimum: float) -> Floats | None:
    """(N, 2 K + 1) divergences of the models, of their ceilings (NaN where unknown) and of the volatility."""
    tables = [model.divergences for model in models]
    if any(table is None for table in tables):
        return None
    wanted = pl.DataFrame({"sample": samples})
    found = [
        wanted.join(table, on="sample", how="left", maintain_order="left") for table in tables if table is not None
    ]
    unknown = np.full(len(samples), np.nan)
    columns = [table["model"].to_numpy() for table in found]
    columns += [table[CEILING].to_numpy() if CEILING in table.columns else unknown for table in found]
    volatility = found[0]["volatility"].to_numpy()
    return None if volatility.mean() < minimum else np.stack([*columns, volatility], axis=1)


@dataclass(frozen=True)
class _Figures:
    """Replicates (R, K) of means: gains, and where an optimum is known shares of models and of their ceilings."""

    gains: Floats
    shares: Floats | None
    ceilings: Floats | None


def _figures(means: Floats, count: int) -> _Figures:
    if means.shape[1] == count:
        return _Figures(means, None, None)
    shares = 1 - means[:, count:-1] / means[:, -1:]
    return _Figures(means[:, :count], shares[:, :count], shares[:, count:])


def _row(found: Sequence[_Figures], place: int, base: int | None, confidence: float) -> dict[str, float | None]:
    """Figures of one model; those that are not known are left out."""
    mean, drawn = found
    row: dict[str, float | None] = {"gain": float(mean.gains[0, place])}
    row["gain_low"], row["gain_high"] = interval(drawn.gains[:, place], confidence)
    if base is not None:
        row["lost"] = float(mean.gains[0, base] - mean.gains[0, place])
        row["lost_low"], row["lost_high"] = interval(drawn.gains[:, base] - drawn.gains[:, place], confidence)
    if mean.shares is None or mean.ceilings is None or drawn.shares is None:
        return row
    row["share"] = float(mean.shares[0, place])
    row["share_low"], row["share_high"] = interval(drawn.shares[:, place], confidence)
    row["ceiling"] = _number(mean.ceilings[0, place])
    if base is not None:
        row["share_lost"] = float(mean.shares[0, base] - mean.shares[0, place])
        row["share_lost_low"], row["share_lost_high"] = interval(
            drawn.shares[:, base] - drawn.shares[:, place], confidence
        )
        row["ceiling_lost"] = _number(mean.ceilings[0, base] - mean.ceilings[0, place])
    return row


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
