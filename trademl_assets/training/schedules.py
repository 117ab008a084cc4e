"""The learning rate over time."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from trademl_assets.training.optimiser_parameters import CosineSchedule, PlateauSchedule, ScheduleParameters


def build_schedule(optimiser: Optimizer, stated: ScheduleParameters, total_steps: int, factor: float) -> Any:
    """Make the schedule, as Lightning takes it.

    Args:
        optimiser: Whose rates it sets.
        stated: Kind and shape.
        total_steps: Steps of optimisation of all epochs.
        factor: By which all rates are lowered since the loss was not a number.
    """
    if isinstance(stated, PlateauSchedule):
        for group in optimiser.param_groups:
            group["lr"] *= factor
        highest = max(group["lr"] for group in optimiser.param_groups)
        schedule = ReduceLROnPlateau(
            optimiser,
            factor=stated.factor,
            patience=stated.patience_epochs,
            threshold=stated.minimum_improvement,
            threshold_mode="abs",
            min_lr=stated.final_learning_rate_share * highest,
            eps=0.0,
        )
        return {"scheduler": schedule, "interval": "epoch", "reduce_on_plateau": True, "monitor": "validation_log_loss"}
    if isinstance(stated, CosineSchedule):
        shape = stated
        return {
            "scheduler": LambdaLR(optimiser, lambda step: factor * rate_share(step, total_steps, shape)),
            "interval": "step",
        }
    return {"scheduler": LambdaLR(optimiser, lambda _step: factor), "interval": "step"}


def rate_share(step: int, total_steps: int, stated: CosineSchedule) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine to the final share."""
    warm = round(stated.warm_up_share * total_steps)
    if step < warm:
        return (step + 1) / warm
    progress = min((step - warm) / max(total_steps - warm, 1), 1.0)
    final = stated.final_learning_rate_share
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
