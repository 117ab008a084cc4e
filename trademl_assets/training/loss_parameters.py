"""Typed parameters of what a training minimises, free of torch."""

from typing import Annotated, Literal

from pydantic import Field

from trademl_assets.foundation.parameters import Parameters

Smoothing = Annotated[float, Field(ge=0, lt=1)]
ClassWeights = Literal["balanced"] | Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2)]


class CrossEntropyLoss(Parameters):
    """Negative log-probability of the class that came true.

    Attributes:
        class_weights: Factor of each class, beside the samples' weights: numbers, or `balanced` for the inverse of its
            share of the training weight; null for none. They are scaled to a mean of one over the training weight and
            recorded with the model, since they shift its probabilities.
        label_smoothing: Share of each label that is spread evenly over all classes.
    """

    kind: Literal["cross_entropy"]
    class_weights: ClassWeights | None
    label_smoothing: Smoothing


class LikelihoodLoss(Parameters):
    """Negative log-density of the realised return in units of sigma; needs a distribution head."""

    kind: Literal["likelihood"]


class FocalLoss(Parameters):
    """Cross entropy times (1 - p)^gamma: what is known well already counts less (Lin et al. 2017).

    Attributes:
        gamma: 0 is cross entropy.
        class_weights: As of cross entropy, the alpha of the paper.
    """

    kind: Literal["focal"]
    gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    class_weights: ClassWeights | None


class BinaryLoss(Parameters):
    """Binary cross entropy of each class against the rest, their mean; of two classes it is the cross entropy."""

    kind: Literal["binary"]


class RankedLoss(Parameters):
    """For ordered classes: squared differences of the cumulative probabilities, which punish a miss by its distance.

    The ranked probability score (Epstein 1969, divided by the C - 1 edges), a proper score; as a loss the squared earth
    mover's distance of Hou, Yu and Samaras (2016).

    Attributes:
        cross_entropy_share: Share of the cross entropy that is mixed in.
    """

    kind: Literal["ranked"]
    cross_entropy_share: Annotated[float, Field(ge=0, le=1)]


Loss = Annotated[CrossEntropyLoss | LikelihoodLoss | FocalLoss | BinaryLoss | RankedLoss, Field(discriminator="kind")]


def stated_class_weights(loss: Loss) -> ClassWeights | None:
    """Return the class weights of a loss that has any."""
    return loss.class_weights if isinstance(loss, CrossEntropyLoss | FocalLoss) else None


def keeps_probabilities(loss: Loss) -> bool:
    """Whether the least loss is reached by the true probabilities, class weights left aside."""
    if isinstance(loss, FocalLoss):
        return loss.gamma == 0
    return not (isinstance(loss, CrossEntropyLoss) and loss.label_smoothing > 0)
