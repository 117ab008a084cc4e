"""The configured steps: they fit together, run in their order, and each says what it left out."""

import json
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.order_book.compression import compress_day
from trademl_assets.order_book.population import count_populated_levels
from trademl_assets.order_book.quality import clean_tall_rows
from trademl_assets.order_book.sequence import OrderBookParameters, preprocess
from trademl_assets.order_book.steps import PREPROCESSING_STEPS, DayMaterial
from trademl_assets_tests.order_book.books import COMPRESSION, DAY, INSTRUMENT, MIDNIGHT, QUALITY, steady_day, tall_rows

CLEAN = {"step": "clean", "parameters": QUALITY.model_dump()}
COMPRESS = {"step": "compress", "parameters": COMPRESSION.model_dump(mode="json")}
THIN = {"step": "thin", "parameters": {"interval_seconds": 60}}
HOURS = {"step": "keep_hours", "parameters": {"first": "00:01:00", "until": "00:02:00"}}
OTHERS = {
    "certificate": {
        "depth_bands_bps": [10.0],
        "order_sizes": [1.0],
        "max_near_price_error_ticks": None,
        "max_bin_price_error_ticks": None,
        "max_depth_error_share": None,
        "max_cost_error_bps": None,
    },
    "coverage": {"minimum_coverage_share": 0.9, "allowed_missing_days": 0},
}


def sequence(*steps: dict[str, Any]) -> OrderBookParameters:
    return OrderBookParameters.model_validate_json(json.dumps({"steps": list(steps), **OTHERS}))


def material(population: pl.DataFrame | None = None) -> DayMaterial:
    return DayMaterial(INSTRUMENT, DAY, population)


def test_steps_run_in_their_order_and_leave_what_the_certificate_needs():
    tall, known = steady_day(snapshots=30), material()

    snapshots = preprocess(tall, "raw rows", sequence(CLEAN, COMPRESS).steps, known)

    clean, report = clean_tall_rows(tall, INSTRUMENT.name, DAY, QUALITY)
    assert_frame_equal(snapshots, compress_day(clean, INSTRUMENT, DAY, COMPRESSION, None).snapshots)
    assert_frame_equal(known.clean_rows, clean)
    assert known.facts["quality"] == report.as_dict()
    assert known.facts["compression"] == known.compressed.facts()


def test_levels_are_those_of_the_day_before():
    shallow = count_populated_levels(steady_day(snapshots=30, levels=3), DAY)
    threshold = {**COMPRESS, "parameters": {**COMPRESS["parameters"], "min_nonzero_threshold": 5}}
    known = material(shallow)

    preprocess(steady_day(snapshots=30, levels=4), "raw rows", sequence(CLEAN, threshold).steps, known)

    assert (known.compressed.kept_depth.bid, known.compressed.kept_depth.ask) == (3, 3)
    assert known.compressed.unpopulated_share > 0


def test_history_that_is_compressed_already_passes_only_the_later_steps():
    snapshots = compress_day(steady_day(snapshots=30), INSTRUMENT, DAY, COMPRESSION, None).snapshots
    known = material()

    kept = preprocess(snapshots, "snapshots", sequence(CLEAN, COMPRESS, THIN).steps, known)

    assert set(known.facts) == {"thin"}
    assert kept.height + known.facts["thin"]["left_out"] == 30


def test_thinning_keeps_the_last_snapshot_of_every_interval_and_never_a_later_one():
    offsets = [0.0, 1.0, 60.0, 60.5, 119.9, 121.0]
    instants = [MIDNIGHT + timedelta(seconds=offset) for offset in offsets]
    book = [(99.0, 1.0)], [(101.0, 1.0)]
    tall = tall_rows(instants, [book[0]] * len(instants), [book[1]] * len(instants))

    kept = preprocess(tall, "raw rows", sequence(CLEAN, COMPRESS, THIN).steps, material())

    assert kept["ts"].to_list() == [instants[0], instants[2], instants[4], instants[5]]


def test_hours_are_kept_from_the_first_until_before_the_last():
    known = material()

    kept = preprocess(steady_day(snapshots=30), "raw rows", sequence(CLEAN, COMPRESS, HOURS).steps, known)

    assert kept["ts"].min() == MIDNIGHT + timedelta(seconds=60)
    assert kept["ts"].max() == MIDNIGHT + timedelta(seconds=110)
    assert known.facts["keep_hours"] == {"left_out": 24}


def test_steps_before_a_moment_do_not_notice_what_comes_after_it():
    tall = steady_day(snapshots=30)
    steps = sequence(CLEAN, COMPRESS, THIN).steps
    whole = preprocess(tall, "raw rows", steps, material())
    for cut in range(5, 30, 3):
        instant = MIDNIGHT + timedelta(seconds=10 * cut)
        bent = tall.with_columns(
            pl.when(pl.col("ts") > instant).then(pl.col(name) * 1.5).otherwise(pl.col(name)).alias(name)
            for name in ("bid_quantity", "ask_quantity")
        )
        found = preprocess(bent, "raw rows", steps, material())
        early = pl.col("ts") <= instant
        assert_frame_equal(found.filter(early), whole.filter(early))
        assert not found.equals(whole) or whole.filter(~early).is_empty()


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((COMPRESS, CLEAN), "begin with one that takes raw rows"),
        ((CLEAN, THIN, COMPRESS), "step thin takes snapshots, but clean before it gives clean rows"),
        ((CLEAN,), "end with one that gives snapshots"),
        ((COMPRESS,), r"lead from clean rows to snapshots -> begin with one that takes raw rows \(clean\)"),
        ((CLEAN, COMPRESS, {**HOURS, "parameters": {"first": "08:00", "until": "08:00"}}), "must lie before until"),
        ((CLEAN, COMPRESS, {"step": "smooth", "parameters": {}}), "smooth"),
        ((CLEAN, COMPRESS, {**THIN, "parameters": {"seconds": 3}}), "seconds"),
        ((CLEAN, CLEAN, COMPRESS), "clean before it gives clean rows"),
    ],
    ids=["order", "form", "end", "begin", "no time", "unknown", "unknown key", "twice"],
)
def test_steps_that_do_not_fit_together_are_refused_by_name(steps, told):
    with pytest.raises(ValidationError, match=told):
        sequence(*steps)


class ShareParameters(Parameters):
    share: float


class Trusting:
    """A step of somebody else: takes every row for clean."""

    parameters = ShareParameters
    takes = "raw rows"
    gives = "clean rows"

    def __init__(self, parameters):
        self._share = parameters.share

    def apply(self, frame, material):
        material.facts["trusting"] = {"share": self._share}
        return frame


class Shrinking(Trusting):
    takes = gives = "raw rows"

    def apply(self, frame, material):
        material.facts["shrinking"] = {"rows": frame.height}
        return frame.with_columns(pl.col("bid_quantity", "ask_quantity") * self._share)


@pytest.fixture
def own_steps(monkeypatch):
    """Two steps that are registered for one test."""
    monkeypatch.setattr(PREPROCESSING_STEPS, "_known", dict(vars(PREPROCESSING_STEPS)["_known"]))
    for name, kind in (("trusting", Trusting), ("shrinking", Shrinking)):
        PREPROCESSING_STEPS.register(name)(kind)
    return tuple({"step": name, "parameters": {"share": 0.5}} for name in ("trusting", "shrinking"))


def test_a_registered_step_takes_its_place_in_the_sequence(own_steps):
    tall, known = steady_day(snapshots=30), material()
    _, shrinking = own_steps

    halved = preprocess(tall, "raw rows", sequence(shrinking, CLEAN, COMPRESS).steps, known)

    whole = preprocess(tall, "raw rows", sequence(CLEAN, COMPRESS).steps, material())
    assert known.facts["shrinking"] == {"rows": 120}
    assert list(known.facts) == ["shrinking", "quality", "compression"]
    for name in ("bid_quantity", "ask_quantity"):
        assert (halved[name].to_numpy() * 2).tobytes() == whole[name].to_numpy().tobytes()


def test_rows_that_nobody_cleaned_are_refused_though_the_forms_fit(own_steps):
    trusting, _ = own_steps

    with pytest.raises(ValidationError, match="have 0 times 'clean' -> name it once"):
        sequence(trusting, COMPRESS)


def test_what_a_day_depends_on_begins_with_its_form_and_leaves_out_what_is_only_allowed():
    first = sequence(CLEAN, COMPRESS, THIN)
    stricter = {**CLEAN, "parameters": {**CLEAN["parameters"], "gap_seconds": 30.0}}
    other_quality = sequence(stricter, COMPRESS, THIN)
    other_limit = first.model_copy(
        update={"certificate": first.certificate.model_copy(update={"max_cost_error_bps": 1.0})}
    )

    assert first.fingerprint_from("raw rows") != other_quality.fingerprint_from("raw rows")
    assert first.fingerprint_from("snapshots") == other_quality.fingerprint_from("snapshots")
    assert first.fingerprint_from("raw rows") == other_limit.fingerprint_from("raw rows")
