"""Ageing and money of a model, from what its deployment has stored; what is shown of them beside a judgement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from trademl_assets.evaluation.ageing import Ageing, measure_ageing
from trademl_assets.evaluation.ageing_plots import draw_ageing
from trademl_assets.evaluation.book_at_decisions import read_book
from trademl_assets.evaluation.money import judge_money
from trademl_assets.evaluation.money_plots import draw_money
from trademl_assets.evaluation.money_results import Money, numbers_of
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.partition_writer import PartitionWriter


@dataclass(frozen=True)
class Worth:
    """What a model is worth over time and in money."""

    ageing: Ageing
    money: Money

    def write(self, writer: PartitionWriter) -> None:
        """Add both to a partition."""
        writer.json("ageing", self.ageing.as_dict())
        writer.json("money", self.money.as_dict())

    def numbers(self) -> dict[str, float]:
        """Numbers worth watching."""
        return self.ageing.numbers() | dict(numbers_of(self.money))

    def texts(self) -> dict[str, str]:
        """What both say in a line."""
        half_life = self.ageing.half_life
        nothing_ahead = "every block that was judged lies before later training: how the model ages cannot be told"
        said = [nothing_ahead if half_life is None else half_life.sentence, *self.ageing.weight_half_lives]
        return {"ageing": "; ".join(said), "money": self.money.sentence}

    def plots(self) -> dict[str, bytes]:
        """Pictures of both."""
        return {"ageing": draw_ageing(self.ageing), "money": draw_money(self.money)}


def measure_worth(
    deployment: Deployment,
    store: ArtifactStore,
    predictions: pl.DataFrame,
    index: pl.DataFrame,
    recipe: Mapping[str, Any],
    *,
    book_recipe: Mapping[str, Any] | None = None,
) -> Worth:
    """Measure ageing and money of the dataset's primary target.

    Args:
        deployment: The deployment.
        store: Where the grid lies.
        predictions: Table of `calibrate_predictions`.
        index: Sample index of the primary horizon.
        recipe: Of the dataset.
        book_recipe: Whose days the steps of the test decisions count; None for those of `recipe`.
    """
    parameters, target = deployment.configuration.evaluation, recipe["target"]
    own = index.filter(pl.col("instrument") == target)
    predicted = predictions.join(own.select("sample", "step"), on="sample", how="inner", maintain_order="left")
    instrument = deployment.configuration.market.instruments_by_name()[target]
    book = read_book(
        store,
        recipe if book_recipe is None else book_recipe,
        predicted.filter(pl.col("part") == "test").sort("t0", "sample"),
        reference_quantity=instrument.reference_quantity,
        capacity_bps=parameters.money.capacity_bps,
    )
    ageing = measure_ageing(
        predicted,
        own,
        recipe,
        parameters=parameters.ageing,
        baselines=parameters.baselines,
        resampling=parameters.resampling,
    )
    return Worth(ageing, judge_money(predicted, own, book, parameters.money, parameters.resampling))
