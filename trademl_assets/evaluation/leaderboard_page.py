"""The leaderboard as one self-contained HTML page: who stands where, and what changed since the evaluation before."""

from collections.abc import Mapping

import polars as pl

from trademl_assets.evaluation.changes import Changes
from trademl_assets.evaluation.changes_text import as_json, log_loss_line, shown_partitions
from trademl_assets.evaluation.pages import as_urls, render_page
from trademl_assets.evaluation.plots import draw_ranking


def render_leaderboard(
    experiment: str, ranking: pl.DataFrame, sentence: str, changes: Mapping[str, Changes], *, confidence: float
) -> str:
    """Return the page.

    Args:
        experiment: Its name.
        ranking: Table of `rank_models`, not empty.
        sentence: Of `describe_ranking`.
        changes: Model -> what changed; only models that were evaluated more than once.
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
        images=as_urls({"ranking": draw_ranking(ranking)}),
        changes=ranked,
        lines={model: log_loss_line(found) for model, found in ranked.items()},
        level=f"{confidence:.0%}",
        shown_keys=shown_partitions,
        as_json=as_json,
    )
