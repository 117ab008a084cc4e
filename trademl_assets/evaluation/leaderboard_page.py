"""The leaderboard as one self-contained HTML page: who stands where, and what changed since the evaluation before."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from trademl_assets.evaluation.ablation_plots import draw_ablations
from trademl_assets.evaluation.ablations import AblationStudy, describe_ablations
from trademl_assets.evaluation.changes import Changes
from trademl_assets.evaluation.changes_text import as_json, log_loss_line, shown_partitions
from trademl_assets.evaluation.pages import as_urls, render_page
from trademl_assets.evaluation.plots import draw_ranking


def render_leaderboard(
    experiment: str,
    ranking: pl.DataFrame,
    sentence: str,
    changes: Mapping[str, Changes],
    *,
    ablations: AblationStudy | None,
    confidence: float,
) -> str:
    """Return the page.

    Args:
        experiment: Its name.
        ranking: Table of `rank_models`, not empty.
        sentence: Of `describe_ranking`.
        changes: Model -> what changed; only models that were evaluated more than once.
        ablations: What models lose where they may read less; None where no ablation was compared.
        confidence: Of the intervals.
    """
    rows = ranking.to_dicts()
    ranked = {row["model"]: changes[row["model"]] for row in rows if row["model"] in changes}
    return render_page(
        "leaderboard.html.j2",
        experiment=experiment,
        ranking=rows,
        best=rows[0],
        sentence=sentence,
        span=f"{len(rows)} model(s) on the same test part, best first",
        images=as_urls(
            {"ranking": draw_ranking(ranking)} | ({} if ablations is None else {"ablations": draw_ablations(ablations)})
        ),
        ablations=None if ablations is None else _shown(ablations),
        changes=ranked,
        lines={model: log_loss_line(found) for model, found in ranked.items()},
        level=f"{confidence:.0%}",
        shown_keys=shown_partitions,
        as_json=as_json,
    )


def _shown(study: AblationStudy) -> dict[str, Any]:
    """What the section of ablations names."""
    rows = study.table.with_columns(of_ceiling=pl.col("share") / pl.col("ceiling")).to_dicts()
    planted = any(row["share"] is not None for row in rows)
    reaches = "share of the best possible with the ceiling of each model, " if planted else ""
    return {
        "rows": rows,
        "lines": describe_ablations(study).split("; "),
        "planted": planted,
        "decisions": study.decisions,
        "reference": study.reference,
        "level": f"{study.confidence:.0%}",
        "alt": f"Ablations: {reaches}gain over the volatility, and what was lost",
    }
