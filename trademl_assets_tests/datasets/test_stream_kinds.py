from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from trademl_assets.datasets.build import build_dataset, fit_streams
from trademl_assets.datasets.cuts import choose_cuts
from trademl_assets.datasets.ingredients import Ingredients, read_ingredients
from trademl_assets.datasets.leakage import SHIPPED, audit, audit_parts
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.perturbation import randomise_after
from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.foundation.errors import ConfigError, DataQualityError, MissingPartitionError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.models.inputs import inputs_of
from trademl_assets.sources.contract import SERIES_SCHEMA
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.conftest import FRAME, PROVENANCE, make_store, write_experiment
from trademl_assets_tests.datasets.examples import parameters_of, stated

BEFORE = "momentum: noise after a cut changes nothing before it"
WithKind = Callable[[type[Any]], DatasetParameters]


class NoParameters(Parameters):
    pass


class Momentum:
    """Log mid return of the target over the last five steps; the kinds of these tests change one thing of it each."""

    parameters = NoParameters
    external_series: tuple[str, ...] = ()

    def __init__(self, parameters: NoParameters) -> None:
        self.settings = parameters

    def columns(self, instruments: Sequence[str]) -> tuple[str, ...]:
        return (f"{instruments[-1]}:momentum_bps",)

    def compute(self, ingredients: Ingredients) -> np.ndarray:
        return self.over(ingredients, 0)

    def over(self, ingredients: Ingredients, ahead: int) -> np.ndarray:
        mid = ingredients.series.mid[:, ingredients.target_position]
        steps = np.arange(len(mid))
        first, last = np.maximum(steps - 5, 0), np.minimum(steps + ahead, len(mid) - 1)
        return np.nan_to_num(1e4 * np.log(mid[last] / mid[first]))[:, None].astype(np.float32)


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> WithKind:
    """Parameters of the example dataset with a stream `momentum` of a kind that exists for one test."""
    monkeypatch.setattr(STREAMS, "_known", dict(STREAMS._known))

    def with_kind(kind: type[Any]) -> DatasetParameters:
        STREAMS.register("planted")(kind)
        values = stated()
        values["streams"]["additional"] = {"momentum": {"kind": "planted", "lookback": "PT2H", "parameters": {}}}
        return parameters_of(values)

    return with_kind


def violations(store: ArtifactStore, parameters: DatasetParameters) -> set[str]:
    report = audit_parts(store, build_dataset(store, parameters, FRAME), SHIPPED)
    return {finding.rule for finding in report.violations}


def test_an_unknown_kind_is_refused_at_its_key_with_those_there_are() -> None:
    values = stated()
    values["streams"]["additional"] = {"index": {"kind": "series", "lookback": "PT2H", "parameters": {}}}
    with pytest.raises(ValidationError) as caught:
        parameters_of(values)
    found = {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}
    assert set(found) == {"streams.additional.index.kind", "streams.additional.index.parameters"}
    assert (
        "unknown stream kind 'series' -> choose one of bars, external_series" in found["streams.additional.index.kind"]
    )


@pytest.mark.parametrize("name", ["price", "additional", "Index", "9"])
def test_a_name_that_is_taken_or_no_name_is_refused(name: str) -> None:
    values = stated()
    chosen = {"kind": "external_series", "lookback": "PT2H", "parameters": {"series": "a", "full_age_seconds": 60}}
    values["streams"]["additional"] = {name: chosen}
    with pytest.raises(ValidationError, match=r"rename them|should match pattern"):
        parameters_of(values)


def test_a_registered_stream_lies_in_the_dataset_and_is_read_like_its_own(tmp_path: Path, streaming: WithKind) -> None:
    store = make_store(tmp_path)
    parts = write_experiment(store, "mine", streaming(Momentum))
    dataset = open_dataset(store, "mine")
    assert dataset.streams == ("book", "price", "mask", "clock", "long_term", "momentum")
    assert (dataset.columns("momentum"), dataset.step_shape("momentum")) == (("FOLLOW:momentum_bps",), (1,))
    assert dataset.lookback_steps("momentum") == 120
    values = dataset.gather("momentum", 1400, 1500)
    assert values.tolist() == parts.arrays["momentum"][1400:1500].tolist()
    told = inputs_of(dataset).stream("momentum")
    assert told.center == pytest.approx(np.asarray(parts.recipe["scaling"]["momentum"]["center"]))
    report = audit(store, "mine")
    assert report.passed, report.violations
    assert {f"momentum: {rule}" for rule in ("stored stream is what its function gives", BEFORE[10:])} <= {
        finding.rule for finding in report.findings
    }
    with pytest.raises(ConfigError, match=r"has no stream 'sentiment', it has \[.*'momentum'\]"):
        dataset.gather("sentiment", 0, 1)


def test_a_stream_changes_nothing_of_the_others(filled_store: ArtifactStore, streaming: WithKind) -> None:
    with_it = build_dataset(filled_store, streaming(Momentum), FRAME)
    without = build_dataset(filled_store, parameters_of(stated()), FRAME)
    assert with_it.index.equals(without.index)
    assert all(with_it.arrays[name].tobytes() == array.tobytes() for name, array in without.arrays.items())


def test_its_scaling_is_fitted_on_training_rows(filled_store: ArtifactStore, streaming: WithKind) -> None:
    parameters = streaming(Momentum)
    ingredients = read_ingredients(filled_store, parameters, FRAME)
    scaling, arrays = fit_streams(ingredients)
    training = arrays["momentum"][: 2 * 1440]
    assert scaling["momentum"].center == pytest.approx(np.median(training, axis=0), abs=1.0)
    noisy = randomise_after(ingredients, ingredients.training_span_us[1], np.random.default_rng(0))
    after, changed = fit_streams(noisy)
    assert changed["momentum"][3 * 1440 :].tolist() != arrays["momentum"][3 * 1440 :].tolist()
    assert after["momentum"].center.tolist() == scaling["momentum"].center.tolist()
    assert after["momentum"].scale.tolist() == scaling["momentum"].scale.tolist()


def test_a_stream_that_looks_one_step_ahead_is_found(filled_store: ArtifactStore, streaming: WithKind) -> None:
    class Ahead(Momentum):
        def compute(self, ingredients: Ingredients) -> np.ndarray:
            return self.over(ingredients, 1)

    assert violations(filled_store, streaming(Ahead)) == {BEFORE}


def test_a_stream_scaled_over_the_whole_sample_is_found(filled_store: ArtifactStore, streaming: WithKind) -> None:
    class Standardised(Momentum):
        def compute(self, ingredients: Ingredients) -> np.ndarray:
            values = self.over(ingredients, 0)
            return (values - values.mean()) / values.std()

    found = violations(filled_store, streaming(Standardised))
    assert found == {BEFORE, "scaling of momentum: unchanged when what follows training is noise"}


def test_a_stream_that_shows_the_day_that_has_not_ended_is_found(
    filled_store: ArtifactStore, streaming: WithKind
) -> None:
    class SameDay(Momentum):
        def compute(self, ingredients: Ingredients) -> np.ndarray:
            volume = ingredients.context.statistics["volume"][:, 0]
            of_day = dict(zip(ingredients.context.days, volume, strict=True))
            dates = [datetime.fromtimestamp(us / 1e6, UTC).date() for us in ingredients.series.instants_us.tolist()]
            return np.asarray([[of_day.get(day, 0.0)] for day in dates], np.float32)

    assert BEFORE in violations(filled_store, streaming(SameDay))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda values: values[1:], ConfigError, r"gives float32 \(5759, 1\) -> it must give float32 \(5760, 1\)"),
        (lambda values: values.astype(np.float64), ConfigError, "gives float64"),
        (lambda values: np.where(np.arange(5760)[:, None] == 7, np.float32("nan"), values), DataQualityError, "step 7"),
    ],
)
def test_values_that_break_the_contract_are_refused(
    filled_store: ArtifactStore,
    streaming: WithKind,
    change: Callable[[np.ndarray], np.ndarray],
    error: type[Exception],
    message: str,
) -> None:
    class Broken(Momentum):
        def compute(self, ingredients: Ingredients) -> np.ndarray:
            return change(self.over(ingredients, 0))

    with pytest.raises(error, match=message):
        build_dataset(filled_store, streaming(Broken), FRAME)


# --- external series: one value a half day, published twenty minutes after the instant it is about

LAG = timedelta(minutes=20)
FIRST_ABOUT = datetime(2024, 1, 4, 3, tzinfo=UTC)


def published(factor: float = 1.0) -> pl.DataFrame:
    about = [FIRST_ABOUT + timedelta(hours=12 * number) for number in range(7)]
    rows = {
        "ts": about,
        "published": [ts + LAG for ts in about],
        "name": ["mood"] * 7,
        "value": [factor * (number**2 - 10.0) for number in range(7)],
    }
    return pl.DataFrame(rows, schema=dict(SERIES_SCHEMA))


def write_series(store: ArtifactStore, table: pl.DataFrame) -> None:
    with store.write("external_series", "mood", schema_version=1, provenance=PROVENANCE) as writer:
        writer.table("data", table)
        writer.rows(table.height)


def with_mood() -> DatasetParameters:
    values = stated()
    chosen = {"kind": "external_series", "lookback": "PT2H", "parameters": {"series": "mood", "full_age_seconds": 3600}}
    values["streams"]["additional"] = {"news": chosen}
    return parameters_of(values)


@pytest.fixture(scope="module")
def moody_store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    store = make_store(tmp_path_factory.mktemp("moody"))
    write_series(store, published())
    return store


def test_an_external_series_is_read_as_of_its_publication(moody_store: ArtifactStore) -> None:
    parts = build_dataset(moody_store, with_mood(), FRAME)
    assert parts.recipe["streams"]["news"]["columns"] == ["value", "age_share", "known"]
    expected = []
    first = published()["published"][0]
    for step in range(5760):
        instant = datetime(2024, 1, 4, tzinfo=UTC) + timedelta(minutes=step)
        number = (instant - first) // timedelta(hours=12)
        age = (instant - first - number * timedelta(hours=12)).total_seconds()
        known = (float(min(number, 6) ** 2 - 10), min(age / 3600, 1.0) if number <= 6 else 1.0, 1.0)
        expected.append((0.0, 1.0, 0.0) if instant < first else known)
    assert parts.arrays["news"] == pytest.approx(np.asarray(expected))


def test_the_dataset_pins_the_series_and_passes_the_audit(moody_store: ArtifactStore) -> None:
    parts = write_experiment(moody_store, "moody", with_mood())
    pinned = moody_store.require("external_series", "mood").content_hash
    assert parts.upstream["external_series/mood"] == parts.recipe["upstream"]["external_series/mood"] == pinned
    assert with_mood().streams.external_series == ("mood",)
    report = audit(moody_store, "moody")
    assert report.passed, report.violations


def test_a_series_that_is_not_there_is_named(filled_store: ArtifactStore) -> None:
    with pytest.raises(MissingPartitionError, match="external_series has no partition for mood"):
        build_dataset(filled_store, with_mood(), FRAME)


def test_a_series_read_by_what_it_is_about_is_found(moody_store: ArtifactStore, streaming: WithKind) -> None:
    class Early(Momentum):
        external_series = ("mood",)

        def compute(self, ingredients: Ingredients) -> np.ndarray:
            table = ingredients.external["mood"]
            about = table["ts"].to_physical().to_numpy()
            last = np.searchsorted(about, ingredients.series.instants_us, side="right") - 1
            return np.where(last >= 0, table["value"].to_numpy()[last], 0.0)[:, None].astype(np.float32)

    early = "momentum: nothing of mood is shown before its publication"
    assert violations(moody_store, streaming(Early)) == {BEFORE, early}


def test_cuts_fall_on_the_last_step_before_a_publication(moody_store: ArtifactStore) -> None:
    ingredients = read_ingredients(moody_store, with_mood(), FRAME)
    cuts = choose_cuts(ingredients, np.random.default_rng(3)).chosen["before a publication of mood"]
    assert cuts.tolist() == [3 * 60 + 19 + 12 * 60 * number for number in range(7)]
