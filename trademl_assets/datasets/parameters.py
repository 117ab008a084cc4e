"""The typed parameters of a dataset, shaped as they stand in YAML. Every value is written there, none has a default."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, SerializeAsAny, model_validator

from trademl_assets.datasets import bars_stream, external_stream, split_parameters  # noqa: F401 -- importing registers the kinds
from trademl_assets.datasets.label_parameters import LabelParameters
from trademl_assets.datasets.scaling import ScalingParameters
from trademl_assets.datasets.split_kinds import SplitLayout, lay_split, refuse_short_embargo
from trademl_assets.datasets.stream_kinds import STREAMS, StreamKind, declared_lags, refuse_short_lags
from trademl_assets.datasets.weights import WeightParameters
from trademl_assets.foundation.calendar import day_bounds, day_start, from_microseconds
from trademl_assets.foundation.choice import chosen, known
from trademl_assets.foundation.parameters import Parameters, combine_fingerprints

Part = split_parameters.Part
PARTS = split_parameters.PARTS
ClockColumn = Literal["hour", "weekday", "rolling_volatility", "volume_percentile", "market_regime", "days_since_start"]
ClockEncoding = Literal["cyclical", "embedding", "integer", "linear"]
LongTermStatistic = Literal["mean_bps", "std_bps", "skew", "kurtosis", "volume", "volatility_bps"]
StreamName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
SECONDS_PER_DAY = 86_400


class SigmaParameters(Parameters):
    """Trailing standard deviation of a step's return: two windows and the floor (bps per step) below both."""

    short_window_seconds: int = Field(gt=0)
    long_window_seconds: int = Field(gt=0)
    floor_bps: float = Field(gt=0)


class WindowStream(Parameters):
    """A stream on the grid's cadence that a model reads over a look-back."""

    lookback: timedelta = Field(gt=timedelta(0))


class ClockStream(WindowStream):
    """The clock stream: the column groups it has, and how `hour` and `weekday` are encoded.

    `cyclical`: sine and cosine. `embedding`: a column for each of 24 hours and 7 days, of which one is 1, so that the
    first linear layer of a network learns a vector for each. `integer`: 0 to 23 and 0 to 6. `linear`: the share of the
    day and of the week that is over.
    """

    encoding: ClockEncoding
    columns: tuple[ClockColumn, ...] = Field(min_length=1)


class LongTermStream(Parameters):
    """Daily vectors of the days before the decision's day.

    A day of the look-back without aggregates is refused, or marked (`present` 0, values at the training centre).
    """

    lookback_days: int = Field(ge=1)
    missing_days: Literal["refuse", "mark"]
    statistics: tuple[LongTermStatistic, ...] = Field(min_length=1)


class AdditionalStream(WindowStream):
    """A stream of a registered kind, computed by the dataset, and the parameters of that kind."""

    kind: Annotated[str, AfterValidator(known(STREAMS.get))]
    parameters: Annotated[
        SerializeAsAny[Parameters], PlainValidator(chosen("kind", lambda kind: STREAMS.get(kind).parameters))
    ]

    def build(self) -> StreamKind:
        """Build the stream's kind with its parameters."""
        kind: StreamKind = STREAMS.get(self.kind)(self.parameters)
        return kind


class StreamParameters(Parameters):
    """The streams of a dataset; null leaves one out, `additional` has further ones by name."""

    book: WindowStream | None
    price: WindowStream | None
    mask: WindowStream | None
    clock: ClockStream | None
    long_term: LongTermStream | None
    additional: dict[StreamName, AdditionalStream]

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        taken = sorted(set(self.additional) & set(type(self).model_fields))
        if taken:
            raise ValueError(f"additional streams are called {taken}, as streams of the platform are -> rename them")
        return self

    def has(self, name: str) -> bool:
        """Whether there is a stream of that name."""
        built_in = name in type(self).model_fields and name != "additional"
        return getattr(self, name) is not None if built_in else name in self.additional

    @property
    def short_lookback(self) -> timedelta:
        """The longest look-back of book, price and mask; of the additional streams where there is none of the three."""
        windows = [one for one in (self.book, self.price, self.mask) if one is not None] or self.additional.values()
        return max((one.lookback for one in windows), default=timedelta(0))

    @property
    def external_series(self) -> tuple[str, ...]:
        """Names of the external series that additional streams read, sorted."""
        return tuple(sorted({series for one in self.additional.values() for series in one.build().external_series}))


class SegmentParameters(Parameters):
    """How samples are grouped into contiguous stretches that share one encoding.

    Time is cut, from the dataset's start, into cells of `length`; the samples of a cell share the segment
    [cell start - anchor_lookback, cell end).
    """

    length: timedelta = Field(gt=timedelta(0))
    anchor_lookback: timedelta = Field(ge=timedelta(0))


class ControlParameters(Parameters):
    """The slow controls: a simple learner on labels shuffled by day, on random walks, and with a planted signal.

    Shuffles and walks are drawn `draws` times. The learner is given `training_rows_at_most` evenly spaced training rows
    and chooses among `penalties`. The planted column has `planted_correlation` with the class. Skill is judged on
    validation rows by an interval of `confidence` over blocks of `block` on average, of which there must be
    `minimum_blocks`.
    """

    draws: int = Field(ge=1)
    training_rows_at_most: int = Field(ge=100)
    penalties: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(min_length=1)
    planted_correlation: float = Field(gt=0, lt=1)
    block: timedelta = Field(gt=timedelta(0))
    minimum_blocks: float = Field(gt=0)
    confidence: float = Field(gt=0, lt=1)


class AuditParameters(Parameters):
    """How hard the leakage audit looks.

    What follows a cut becomes noise: at `random_cuts` random steps, and at no more than `edge_cuts_at_most` edges:
    begins and ends of every instrument's gaps, day borders, publications, in fair shares. Of a day's raw rows,
    `raw_cuts` random steps and as many edges at most are cut, each looked at with the rows within `raw_reach` of it;
    `raw_whole_day_cuts` more, in the middle, at the first quarter, the first eighth …, are looked at with all rows.
    """

    random_cuts: int = Field(ge=50)
    edge_cuts_at_most: int = Field(ge=0, le=200)
    raw_cuts: int = Field(ge=1)
    raw_reach: timedelta = Field(gt=timedelta(0))
    raw_whole_day_cuts: int = Field(ge=0, le=10)
    controls: ControlParameters
    seed: int = Field(ge=0)


class DatasetParameters(Parameters):
    """One experiment's dataset: which days, target and streams, how it is labelled, split, weighted and scaled.

    `series_from`: the mids of the book `grid`, or the closes of `candles`, each known when its bar has ended; those
    have no book stream, and zeros for spread and microprice in the price stream.
    `target` is the labelled instrument. Those of `pooled_with` are labelled beside it, in the same index and over the
    same streams; what speaks of one instrument, such as the volatility of the clock stream, speaks of `target`.
    `first_instant` (null: midnight of `first_day`) is where the first block begins; samples start
    `minimum_history` later. A sample is skipped where more than `partial_fill_threshold` of the steps of its short
    look-back, the longest of book, price and mask, are partial: the grid calls them unusable, the target is not
    observed, or another instrument of the dataset is filled. (Another instrument that is missing at a usable step does
    not count: the mask stream says so.)
    """

    series_from: Literal["grid", "candles"]
    target: str
    pooled_with: tuple[str, ...]
    instruments: tuple[str, ...] = Field(min_length=1)
    first_day: date
    last_day: date
    first_instant: datetime | None
    minimum_history: timedelta = Field(ge=timedelta(0))
    partial_fill_threshold: float = Field(ge=0, le=1)
    labels: LabelParameters
    split: split_parameters.SplitParameters
    sigma: SigmaParameters
    streams: StreamParameters
    weights: WeightParameters
    scaling: ScalingParameters
    segments: SegmentParameters
    audit: AuditParameters

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.target not in self.instruments:
            raise ValueError(f"target {self.target!r} is not among instruments {list(self.instruments)}")
        if len(set(self.instruments)) != len(self.instruments):
            raise ValueError(f"instruments repeat: {list(self.instruments)}")
        if self.last_day < self.first_day:
            raise ValueError(f"last_day {self.last_day} lies before first_day {self.first_day}")
        if self.first_instant is not None and self.first_instant.tzinfo is None:
            raise ValueError(f"first_instant {self.first_instant.isoformat()} needs a time zone, for example a final Z")
        if self.start < day_start(self.first_day):
            raise ValueError(f"first_instant {self.start.isoformat()} lies before first_day {self.first_day}")
        if self.end > day_bounds(self.last_day)[1]:
            raise ValueError(
                f"the split's blocks end at {self.end.isoformat()}, after last_day {self.last_day}: "
                "shorten a block or move last_day"
            )
        refuse_short_embargo(
            self.layout,
            self.split.embargo_seconds,
            self.labels.longest_horizon_seconds,
            self.streams.short_lookback,
        )
        refuse_short_lags(declared_lags(self.streams.additional), self.labels.longest_horizon_seconds)
        return self

    @model_validator(mode="after")
    def _targets_can_be_pooled(self) -> Self:
        if len(set(self.targets)) != len(self.targets):
            raise ValueError(f"pooled_with repeats an instrument or the target: {list(self.targets)}")
        if strangers := [name for name in self.pooled_with if name not in self.instruments]:
            raise ValueError(f"pooled_with names {strangers}, which are not among instruments {list(self.instruments)}")
        if self.pooled_with and self.labels.external_series:
            raise ValueError(
                f"labels of kind {self.labels.kind!r} read {', '.join(self.labels.external_series)}, which speaks of "
                "one instrument -> write pooled_with: [] and a dataset for each target"
            )
        return self

    @model_validator(mode="after")
    def _streams_fit_the_series(self) -> Self:
        if self.series_from == "candles" and self.streams.book is not None:
            raise ValueError("series_from: candles knows no book -> write streams.book: null, or series_from: grid")
        reading = [name for name, one in self.streams.additional.items() if one.kind == bars_stream.BARS]
        if self.series_from == "grid" and reading:
            raise ValueError(f"streams {reading} of kind bars read candles -> write series_from: candles")
        return self

    @model_validator(mode="after")
    def _scaled_streams_are_there(self) -> Self:
        absent = [name for name in self.scaling.method_by_stream if not self.streams.has(name)]
        if absent:
            raise ValueError(f"scaling.method_by_stream names {absent}, which are no streams of this dataset")
        return self

    @property
    def targets(self) -> tuple[str, ...]:
        """All labelled instruments, the primary one first."""
        return (self.target, *self.pooled_with)

    @property
    def external_series(self) -> tuple[str, ...]:
        """Names of the external series that streams and labels read, sorted."""
        return tuple(sorted({*self.streams.external_series, *self.labels.external_series}))

    @property
    def feature_pipeline_id(self) -> str:
        """Names what inputs are made into features by: datasets that share it differ in days, labels or split alone."""
        stated = ("series_from", "instruments", "target", "sigma", "streams", "scaling")
        return combine_fingerprints(self.model_dump_json(include=set(stated)))

    @property
    def start(self) -> datetime:
        """The instant (UTC) at which the first block begins."""
        return day_start(self.first_day) if self.first_instant is None else self.first_instant.astimezone(UTC)

    @property
    def layout(self) -> SplitLayout:
        """Where the split's blocks and folds lie."""
        return lay_split(self.split, self.start, day_bounds(self.last_day)[1])

    @property
    def end(self) -> datetime:
        """The instant (UTC) at which the last block ends."""
        return from_microseconds(self.layout.blocks[-1].last_us)
