"""The whole configuration: every package's own parameter models, composed into the shape of a deployment's folder."""

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from trademl_assets.configuration.platform import PlatformParameters, TrackingParameters
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.evaluation.judge import EvaluationParameters
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.grid.alignment import GridParameters
from trademl_assets.long_term.regimes import RegimeParameters
from trademl_assets.models.registry import ModelChoice
from trademl_assets.order_book.compression import CompressionParameters
from trademl_assets.order_book.quality import QualityParameters
from trademl_assets.sources.market import MarketParameters
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.tuning.study import StudyParameters
