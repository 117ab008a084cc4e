"""Typed parameters of the network families, free of torch, so that a configuration is checked without importing it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.parameters import Parameters

Activation = Literal["identity", "relu", "gelu", "silu", "tanh"]
BookFeature = Literal["imbalance", "depth", "presence", "distance_imbalance", "distance"]
Width = Annotated[int, Field(ge=1)]
DropoutShare = Annotated[float, Field(ge=0, lt=1)]


class BookPooling(Parameters):
    """How the slots of a book become features of bands, without trainable parameters.

    Attributes:
        slots_per_band: Consecutive slots pooled into one band; the last band may be smaller.
        features: Of each band and instrument, means over the slots that hold a level on both sides: `imbalance` (scaled
            log quantity, bid minus ask), `depth` (their mean), `distance_imbalance`, `distance` (the same of scaled
            distances); and `presence`, the share of such slots.
    """

    slots_per_band: Width
    features: Annotated[tuple[BookFeature, ...], Field(min_length=1)]


class PatchParameters(Parameters):
    """The shared encoder: each step once, then one token a patch.

    Attributes:
        steps: Grid steps of a patch.
        shared_by_instruments: Whether every instrument's part of a step is encoded with the same weights, side by side;
            else one layer reads all instruments at once.
        step_width: Width of an encoded step, of each instrument where shared.
        step_activation: Activation of an encoded step.
        pooling: `mean` over the patch, or `linear` over all its steps at once.
        token_width: Width of a token.
        token_activation: Activation of a token.
        token_norm: LayerNorm of each token, or none.
        dropout: Share of a token's values dropped in training.
    """

    steps: Width
    shared_by_instruments: bool
    step_width: Width
    step_activation: Activation
    pooling: Literal["mean", "linear"]
    token_width: Width
    token_activation: Activation
    token_norm: bool
    dropout: DropoutShare


class HistoryParameters(Parameters):
    """The recurrent reading of tokens.

    Attributes:
        kind: `anchored`: the state starts at the segment's beginning (the previous midnight, for segments of a day with
            a look-back of a day) and one pass serves all decisions of a segment. `window`: a pass for each decision
            over exactly its own look-back.
        width: Hidden units.
        layers: Stacked layers.
        initial_forget_bias: Bias that the forget gates begin with: 0 forgets half of the state at each token, 2 an
            eighth.
        dropout: Share dropped of what the history hands on, in training.
    """

    kind: Literal["anchored", "window"]
    width: Width
    layers: Width
    initial_forget_bias: Annotated[float, Field(allow_inf_nan=False)]
    dropout: DropoutShare


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
        book: Pooling of the book stream.
        price: Whether the price stream is read.
        mask: Whether the mask stream is read.
        clock: Whether the clock at the decision is read.
        patch: The shared encoder.
        history: The recurrent reading of tokens.
        long_term: The reading of daily vectors.
        context: How clock and long-term summary reach the merge; null where neither is read.
        merge: The dense layers that join them.
        head: From there to class logits.
    """

    book: BookPooling | None
    price: bool
    mask: bool
    clock: bool
    patch: PatchParameters
    history: HistoryParameters
    long_term: LongTermParameters | None
    context: ContextParameters | None
    merge: MergeParameters
    head: Head

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
