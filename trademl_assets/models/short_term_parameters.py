"""Typed parameters of the short-term channel: reading books, encoding steps, remembering tokens. Free of torch."""

from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.models.layer_parameters import Activation, DropoutShare, Width

BookFeature = Literal["imbalance", "depth", "presence", "distance_imbalance", "distance"]


class BookBands(Parameters):
    """The slots of a book become features of bands, without trainable parameters.

    Attributes:
        slots: Slots that are read, from the best price on; null reads all.
        slots_per_band: Consecutive slots pooled into one band; the last band may be smaller.
        features: Of each band and instrument, means over the slots that hold a level on both sides: `imbalance` (scaled
            log quantity, bid minus ask), `depth` (their mean), `distance_imbalance`, `distance` (the same of scaled
            distances); and `presence`, the share of such slots.
    """

    kind: Literal["bands"]
    slots: Width | None
    slots_per_band: Width
    features: Annotated[tuple[BookFeature, ...], Field(min_length=1)]


class FlatBook(Parameters):
    """Every slot as it is: all its columns, standardised, side by side.

    Attributes:
        slots: Slots that are read, from the best price on; null reads all.
    """

    kind: Literal["flat"]
    slots: Width | None


Book = Annotated[BookBands | FlatBook, Field(discriminator="kind")]


class TokenParameters(Parameters):
    """What every encoder makes of a patch of steps: one token.

    Attributes:
        shared_by_instruments: Whether every instrument's part of a step is encoded with the same weights, side by side;
            else one layer reads all instruments at once.
        token_width: Width of a token.
        token_activation: Activation of a token.
        token_norm: LayerNorm of each token, or none.
        dropout: Share of a token's values dropped in training.
    """

    shared_by_instruments: bool
    token_width: Width
    token_activation: Activation
    token_norm: bool
    dropout: DropoutShare


class PatchParameters(TokenParameters):
    """Each step by one dense layer, then one token a patch.

    Attributes:
        steps: Grid steps of a patch.
        step_width: Width of an encoded step, of each instrument where shared.
        step_activation: Activation of an encoded step.
        pooling: `mean` over the patch, or `linear` over all its steps at once.
    """

    kind: Literal["patch"]
    steps: Width
    step_width: Width
    step_activation: Activation
    pooling: Literal["mean", "linear"]

    @property
    def patch_steps(self) -> int:
        """Steps of a patch."""
        return self.steps


class ConvolutionLayer(Parameters):
    """One convolution over the steps of a patch, with zeros on both sides of the patch.

    Attributes:
        channels: Output channels, of each instrument where shared.
        kernel_steps: Length of the kernel in steps of its input; odd or even, not below the stride.
        stride_steps: Step of the kernel; its output is that many times shorter.
    """

    channels: Width
    kernel_steps: Width
    stride_steps: Width

    @model_validator(mode="after")
    def _reads_every_step(self) -> Self:
        if self.kernel_steps < self.stride_steps:
            raise ValueError(
                f"kernel_steps ({self.kernel_steps}) must not lie below stride_steps ({self.stride_steps}), else steps "
                "are skipped"
            )
        return self


class StridedConvolutionParameters(TokenParameters):
    """Convolutions that halve, third, … a patch until nothing but one token is left of it; no pooling.

    A patch is convolved by itself, so that its token is the same wherever the patch stands. Its length is the product
    of the strides.

    Attributes:
        layers: The convolutions, first to last.
        activation: After each.
    """

    kind: Literal["strided_convolution"]
    layers: Annotated[tuple[ConvolutionLayer, ...], Field(min_length=1)]
    activation: Activation

    @property
    def patch_steps(self) -> int:
        """Steps of a patch."""
        return prod(layer.stride_steps for layer in self.layers)


Encoder = Annotated[PatchParameters | StridedConvolutionParameters, Field(discriminator="kind")]


class RecurrentParameters(Parameters):
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


class CausalConvolutionParameters(Parameters):
    """The convolutional reading of tokens: residual blocks of dilated causal convolutions (Bai, Kolter, Koltun 2018).

    A decision reads exactly `receptive_field` tokens, which one pass over a segment gives to all decisions alike.

    Attributes:
        width: Channels of every block.
        kernel_tokens: Length of each kernel in tokens.
        dilations: Distance between a kernel's tokens in each block, first to last.
        activation: Of each convolution.
        block_dropout: Share of channels dropped in each block in training.
        dropout: Share dropped of what the history hands on, in training.
    """

    kind: Literal["tcn"]
    width: Width
    kernel_tokens: Annotated[int, Field(ge=2)]
    dilations: Annotated[tuple[Width, ...], Field(min_length=1)]
    activation: Activation
    block_dropout: DropoutShare
    dropout: DropoutShare

    @property
    def receptive_field(self) -> int:
        """Tokens that one decision reads: 1 + (kernel - 1) * sum of dilations."""
        return 1 + (self.kernel_tokens - 1) * sum(self.dilations)


class MovingAverageParameters(Parameters):
    """The reading of tokens by exponential moving averages, mixed by one dense layer: linear, with few weights.

    A decision reads exactly `window_tokens` tokens, which one pass over a segment gives to all decisions alike.

    Attributes:
        half_life_tokens: Half-lives in tokens; each averages every feature of a token.
        learned: Whether the half-lives are trained from there, each feature of a token having its own.
        window_tokens: Tokens that an average reads, a power of two.
        width: Width of the mixed state.
        dropout: Share dropped of what the history hands on, in training.
    """

    kind: Literal["averages"]
    half_life_tokens: Annotated[tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1)]
    learned: bool
    window_tokens: Annotated[int, Field(ge=2)]
    width: Width
    dropout: DropoutShare

    @model_validator(mode="after")
    def _window_is_doubled(self) -> Self:
        if self.window_tokens.bit_count() != 1:
            raise ValueError(
                f"window_tokens ({self.window_tokens}) must be a power of two -> "
                f"{1 << (self.window_tokens.bit_length() - 1)} or {1 << self.window_tokens.bit_length()}"
            )
        return self


History = Annotated[
    RecurrentParameters | CausalConvolutionParameters | MovingAverageParameters, Field(discriminator="kind")
]
