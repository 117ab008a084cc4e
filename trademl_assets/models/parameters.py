"""Typed parameters of the network families, free of torch, so that a configuration is checked without importing it."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.models.layer_parameters import (
    Activation,
    DropoutShare,
    InitialiserRule,
    RegularisationRule,
    Width,
)
from trademl_assets.models.short_term_parameters import Book, Encoder, History
from trademl_assets.sources.contract import Reading


class LongTermParameters(Parameters):
    """The convolutional reading of daily vectors.

    Attributes:
        channels: Output channels of each convolution, first to last.
        kernel_days: Length of each kernel in days.
        stride_days: Step of each kernel in days.
        activation: Activation of each convolution.
        width: Width of the channel's summary.
        dropout: Share dropped of the summary in training.
    """

    channels: Annotated[tuple[Width, ...], Field(min_length=1)]
    kernel_days: Width
    stride_days: Width
    activation: Activation
    width: Width
    dropout: DropoutShare


class ContextParameters(Parameters):
    """How clock and long-term summary, which hardly change within a day, reach the merge: through a narrow layer.

    Attributes:
        width: Width of that layer, which begins at zero, so that the context is silent until it has something to say.
        dropout: Share dropped of its output in training.
    """

    width: Width
    dropout: DropoutShare


class MergeParameters(Parameters):
    """The dense layers that join the short-term state, the volatility and the context; without widths, none.

    Attributes:
        widths: Of the layers.
        activation: Of each.
        dropout: Share dropped after each in training.
    """

    widths: tuple[Width, ...]
    activation: Activation
    dropout: DropoutShare


class AnswerParameters(Parameters):
    """Which labels of a dataset the network forecasts.

    Attributes:
        horizons: The `primary` one, or `all`: the head has outputs of its own for each, all read the same state.
        targets: The `primary` one, or `all`: labels of pooled instruments are told apart by an embedding, which scales
            and shifts the short-term state.
        target_embedding_width: Width of the embedding; null where one target is answered.
    """

    horizons: Literal["primary", "all"]
    targets: Literal["primary", "all"]
    target_embedding_width: Width | None

    @model_validator(mode="after")
    def _embeds_where_there_are_several(self) -> Self:
        if (self.target_embedding_width is None) != (self.targets == "primary"):
            raise ValueError("target_embedding_width is needed with targets: all, and must be null with primary")
        return self


class SoftmaxHead(Parameters):
    """One logit a class."""

    kind: Literal["softmax"]


class DistributionHead(Parameters):
    """A mixture of normals in units of the sample's trailing sigma, integrated over the class boundaries.

    Attributes:
        components: Normals in the mixture.
        largest_log_scale: Bound of |log scale| of a component.
        initial_log_scale_spread: The log scales begin evenly spaced in [-spread, spread].
    """

    kind: Literal["distribution"]
    components: Width
    largest_log_scale: Annotated[float, Field(gt=0)]
    initial_log_scale_spread: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _spread_lies_within_bound(self) -> Self:
        if self.initial_log_scale_spread >= self.largest_log_scale:
            raise ValueError(
                f"initial_log_scale_spread ({self.initial_log_scale_spread}) must lie below "
                f"largest_log_scale ({self.largest_log_scale})"
            )
        return self


Head = Annotated[SoftmaxHead | DistributionHead, Field(discriminator="kind")]


class DualChannelParameters(Parameters):
    """The dual-channel network. A stream that is null is left out, whether or not the dataset has it.

    Attributes:
        instruments: Instruments whose streams are read, which need not hold the labelled one; null reads all.
        book: How the book stream is read.
        price: Whether the price stream is read.
        mask: Whether the mask stream is read.
        clock: Whether the clock at the decision is read.
        encoder: From steps to tokens.
        history: From tokens to a state.
        long_term: The reading of daily vectors.
        context: How clock and long-term summary reach the merge; null where neither is read.
        merge: The dense layers that join them.
        head: From there to class logits.
        answers: Which labels are forecast.
        mirrored: Whether each training segment is shown mirrored (sides swapped, returns and classes turned) half of
            the time. It takes the market to be symmetric, needs class edges that are, and makes the statistics so.
        initialisers: What weight matrices begin with, in this order; without rules, what each layer chooses.
        regularisation: Penalties and constraints of weight matrices.
    """

    instruments: Annotated[tuple[str, ...], Field(min_length=1)] | None
    book: Book | None
    price: bool
    mask: bool
    clock: bool
    encoder: Encoder
    history: History
    long_term: LongTermParameters | None
    context: ContextParameters | None
    merge: MergeParameters
    head: Head
    answers: AnswerParameters
    mirrored: bool
    initialisers: tuple[InitialiserRule, ...]
    regularisation: tuple[RegularisationRule, ...]

    @model_validator(mode="after")
    def _reads_each_instrument_once(self) -> Self:
        if self.instruments is not None and len(set(self.instruments)) < len(self.instruments):
            raise ValueError(f"instruments repeats one: {list(self.instruments)}")
        return self

    @model_validator(mode="after")
    def _reads_something(self) -> Self:
        if not self.step_streams:
            raise ValueError("the short-term channel reads nothing -> switch on at least one of book, price, mask")
        if (self.context is None) == (self.clock or self.long_term is not None):
            raise ValueError("context is needed where clock or long_term is read, and must be null where neither is")
        return self

    @property
    def step_streams(self) -> tuple[str, ...]:
        """Streams whose steps are encoded, in their order."""
        read = (("book", self.book is not None), ("price", self.price), ("mask", self.mask))
        return tuple(name for name, wanted in read if wanted)

    @property
    def streams(self) -> tuple[str, ...]:
        """All streams that the network reads."""
        others = (("clock", self.clock), ("long_term", self.long_term is not None))
        return (*self.step_streams, *(name for name, wanted in others if wanted))

    def reading(self, instruments: Sequence[str]) -> Reading:
        """Return what the network reads of a dataset of these instruments; its best forecast is its ceiling."""
        return Reading(
            instruments=self.instruments or tuple(instruments),
            returns=self.price,
            book_slots=0 if self.book is None else self.book.slots,
            long_term=self.long_term is not None,
        )
