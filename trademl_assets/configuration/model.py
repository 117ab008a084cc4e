"""The whole configuration: every package's own parameter models, composed into the shape of a deployment's folder."""

from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, model_validator

from trademl_assets.candles.parameters import CandleParameters
from trademl_assets.configuration.class_grid_contradictions import class_grid_contradictions
from trademl_assets.configuration.contradictions import (
    ContradictionsError,
    ablation_contradictions,
    candle_contradictions,
    dataset_contradictions,
    grid_contradictions,
    long_term_contradictions,
    model_contradictions,
    planted_contradictions,
    search_contradictions,
    thinning_contradictions,
)
from trademl_assets.configuration.platform import PlatformParameters, TrackingParameters
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.evaluation.judge import EvaluationParameters
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.grid.alignment import GridParameters
from trademl_assets.long_term.parameters import LongTermParameters
from trademl_assets.models.ablation import AblationParameters
from trademl_assets.models.registry import ModelParameters
from trademl_assets.order_book.sequence import OrderBookParameters
from trademl_assets.sources.market import MarketParameters
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.tuning.parameters import StudyParameters

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,60}$")]


class Configuration(Parameters):
    """A deployment; each field is one file of its folder.

    Attributes:
        platform: Where artifacts lie, who owns the assets.
        market: Instruments, days and sources.
        order_book: The steps from raw rows to snapshots, what they may cost, and what a good day is.
        grid: The uniform grid.
        long_term: Market regimes and groups of levels.
        candles: Cadence of the candles and what a good month is.
        datasets: Datasets by experiment.
        models: Models by name.
        ablations: Models that follow one of those but for what is taken away, by name.
        training: How models are trained.
        tuning: How hyper-parameters are searched.
        evaluation: How models are calibrated and judged.
        tracking: Where runs are traced.
    """

    platform: PlatformParameters
    market: MarketParameters
    order_book: OrderBookParameters
    grid: GridParameters
    long_term: LongTermParameters
    candles: CandleParameters
    datasets: dict[Name, DatasetParameters]
    models: dict[Name, ModelParameters]
    ablations: dict[Name, AblationParameters]
    training: TrainingParameters
    tuning: StudyParameters
    evaluation: EvaluationParameters
    tracking: TrackingParameters

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        found = [
            *grid_contradictions(self.market, self.grid),
            *planted_contradictions(self.market, self.grid, self.order_book.compression),
            *long_term_contradictions(self.market, self.order_book.compression, self.long_term),
            *candle_contradictions(self.market, self.candles),
            *model_contradictions(self.models, self.datasets),
            *ablation_contradictions(self.ablations, self.models, self.datasets),
            *thinning_contradictions(self.order_book, self.grid),
            *search_contradictions(self.models, self.training, self.datasets, self.tuning),
            *class_grid_contradictions(self.models, self.training, self.datasets, self.tuning),
        ]
        for experiment, dataset in self.datasets.items():
            found += dataset_contradictions(experiment, dataset, self.market, self.grid, self.candles)
        if found:
            raise ContradictionsError(found)
        return self

    @cached_property
    def all_models(self) -> dict[str, ModelParameters]:
        """Everything that is trained, by name: the models and their ablations."""
        ablated = {name: each.applied_to(self.models[each.of]) for name, each in self.ablations.items()}
        return {**self.models, **ablated}
