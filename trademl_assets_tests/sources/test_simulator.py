"""The planted market as a source: tables as the contract says, the two paths agree, aggregates are the books' own."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from trademl_assets.foundation.calendar import day_start, to_microseconds
from trademl_assets.foundation.errors import ConfigError, SourceError
from trademl_assets.order_book.compression import CompressionParameters, DistanceBins, compress_day
from trademl_assets.order_book.quality import QualityParameters, clean_tall_rows
from trademl_assets.sources.contract import (
    AGGREGATE_SCHEMA,
    SNAPSHOT_ARRAYS,
    SOURCES,
    TALL_SCHEMA,
    AggregateSource,
    DepthSource,
    OptimumSource,
    SnapshotSource,
    snapshot_schema,
)
from trademl_assets.sources.planted_market import latent_day
from trademl_assets.sources.simulator import PlantedMarket
from trademl_assets_tests.sources.planted_parameters import (
    DEMO,
    FIRST_DAY,
    INSTRUMENTS,
    demo_parameters,
    small_parameters,
)

SECOND_DAY = FIRST_DAY + timedelta(days=1)
TARGET = INSTRUMENTS["FOLAUSDT"]
LENIENT = QualityParameters(
    max_invalid_share=0.0,
    max_crossed_share=0.5,
    max_one_sided_share=0.0,
    max_out_of_order_share=0.0,
    max_out_of_order_seconds=0.0,
    max_lead_in_seconds=3600,
    gap_seconds=3600.0,
    stuck_feed_seconds=3600.0,
    min_coverage_seconds=80_000.0,
    outlier_robust_z=1e9,
    fat_finger_seconds=60.0,
    rejected_day="refuse",
)


@pytest.fixture(scope="module")
def market():
    return PlantedMarket(small_parameters(), INSTRUMENTS)


def _compressed(market, parameters, instrument, day, lead_in_seconds):
    tall = market.extract(instrument, day, lead_in_seconds)
    clean, report = clean_tall_rows(tall, instrument.name, day, LENIENT)
    bins = DistanceBins(by="distance", upper_edges_bps=parameters.bin_upper_edges_bps)
    kept = CompressionParameters(near_market_levels=parameters.near_levels, min_nonzero_threshold=0, bins=bins)
    return compress_day(clean, instrument, day, kept, None), report


@pytest.mark.parametrize("name", list(INSTRUMENTS))
@pytest.mark.parametrize(
    "parameters",
    [
        demo_parameters(days=2),
        small_parameters(delivery={"jitter_milliseconds": 400, "missing_share": 0.1, "crossed_share": 0.05}),
        small_parameters(books={**small_parameters().model_dump(mode="json")["books"], "empty_bin_share": 0.9}),
    ],
    ids=["demo", "gappy", "sparse"],
)
def test_compressing_the_tall_rows_gives_the_snapshots(parameters, name):
    market, instrument = PlantedMarket(parameters, INSTRUMENTS), INSTRUMENTS[name]
    compressed, report = _compressed(market, parameters, instrument, SECOND_DAY, 300)
    snapshots = market.snapshots(instrument, SECOND_DAY, 300)
    assert compressed.dropped_depth_share == 0
    assert report.dropped_snapshots == report.crossed_snapshots
    assert compressed.snapshots["ts"].equals(snapshots["ts"])
    assert compressed.snapshots["batch_id"].equals(snapshots["batch_id"])
    assert compressed.snapshots["mid"].to_numpy() == pytest.approx(snapshots["mid"].to_numpy(), rel=1e-12)
    assert compressed.snapshots["locked"].equals(snapshots["locked"])
    for column in ("spread_bps", "microprice_bps", *SNAPSHOT_ARRAYS):
        left, right = (np.asarray(frame[column].to_numpy()) for frame in (compressed.snapshots, snapshots))
        assert np.array_equal(np.isnan(left), np.isnan(right)), column
        np.testing.assert_allclose(left, right, rtol=2e-6, atol=1e-7, err_msg=column)


def test_sparse_books_have_empty_bins_within_their_depth_and_none_beyond():
    books = {**small_parameters().model_dump(mode="json")["books"], "empty_bin_share": 0.5}
    snapshots = PlantedMarket(small_parameters(books=books), INSTRUMENTS).snapshots(TARGET, FIRST_DAY, 0)
    deep = snapshots["bid_quantity"].to_numpy()[:, 12:]
    assert np.all(deep[:, 0] > 0)
    assert (deep[:, 2] == 0).any()
    assert np.isnan(deep[:, 3]).any()
    assert np.array_equal(np.isnan(deep[:, 2]), np.isnan(deep[:, 2]) & np.isnan(deep[:, 3]))


def test_it_is_registered_and_has_every_capability(market):
    assert SOURCES.get("planted_market") is PlantedMarket
    for capability in (DepthSource, SnapshotSource, AggregateSource, OptimumSource):
        assert isinstance(market, capability)


def test_tables_have_the_schemas_of_the_contract(market):
    assert dict(market.snapshots(TARGET, SECOND_DAY, 60).schema) == snapshot_schema(16)
    assert dict(market.extract(TARGET, SECOND_DAY, 60).schema) == dict(TALL_SCHEMA)
    assert dict(market.aggregates([TARGET], date(2023, 12, 31)).schema) == dict(AGGREGATE_SCHEMA)


def test_a_snapshot_is_stamped_shortly_before_its_instant_which_therefore_sees_it(market):
    snapshots = market.snapshots(TARGET, SECOND_DAY, 0)
    stamps = snapshots["ts"].dt.timestamp("us").to_numpy() - to_microseconds(day_start(SECOND_DAY))
    instants = (snapshots["batch_id"].to_numpy() - 1440) * 60_000_000
    assert np.all((stamps > instants - 400_000) & (stamps <= instants))
    assert len(set(stamps - instants)) > 1000
    assert stamps[0] == 0


def test_exactly_the_observed_steps_have_a_snapshot(market):
    observed = latent_day(small_parameters(), SECOND_DAY).observed[:, 1]
    assert not observed.all()
    steps = market.snapshots(TARGET, SECOND_DAY, 0)["batch_id"].to_numpy() - 1440
    assert np.array_equal(steps, np.flatnonzero(observed))


def test_the_mid_of_a_snapshot_is_the_latent_one_to_half_a_tick(market):
    snapshots = market.snapshots(TARGET, SECOND_DAY, 0)
    latent = np.exp(latent_day(small_parameters(), SECOND_DAY).log_mid[snapshots["batch_id"].to_numpy() - 1440, 1])
    assert np.abs(snapshots["mid"].to_numpy() - latent).max() <= 0.5001 * TARGET.tick_size


@pytest.mark.parametrize("path", ["snapshots", "extract"])
def test_a_lead_in_repeats_the_end_of_the_day_before(market, path):
    read = getattr(market, path)
    before, alone, led = read(TARGET, FIRST_DAY, 0), read(TARGET, SECOND_DAY, 0), read(TARGET, SECOND_DAY, 300)
    cut = day_start(SECOND_DAY) - timedelta(seconds=300)
    lead = led.filter(pl.col("ts") < day_start(SECOND_DAY))
    assert lead["batch_id"].n_unique() >= 4
    assert lead.equals(before.filter(pl.col("ts") >= cut))
    assert led.filter(pl.col("ts") >= day_start(SECOND_DAY)).equals(alone)
    assert read(TARGET, FIRST_DAY, 300).equals(before)


def test_any_day_comes_out_equal_in_any_order(market):
    again = PlantedMarket(small_parameters(days=5), INSTRUMENTS)
    last = again.snapshots(TARGET, FIRST_DAY + timedelta(days=4), 60)
    first = again.snapshots(TARGET, FIRST_DAY, 60)
    assert first.equals(market.snapshots(TARGET, FIRST_DAY, 60))
    assert last.equals(market.snapshots(TARGET, FIRST_DAY + timedelta(days=4), 60))


def test_tall_rows_are_sorted_uncrossed_but_for_the_planted_ones_and_on_ticks():
    delivery = {"jitter_milliseconds": 400, "missing_share": 0.01, "crossed_share": 0.02}
    parameters = small_parameters(delivery=delivery)
    tall = PlantedMarket(parameters, INSTRUMENTS).extract(TARGET, FIRST_DAY, 0)
    assert tall.select("ts", "level").equals(tall.sort("ts", "level").select("ts", "level"))
    assert tall["level"].max() == 29
    top = tall.filter(pl.col("level") == 0)
    crossed = (top["bid_price"] > top["ask_price"]).to_numpy()
    assert np.array_equal(crossed, latent_day(parameters, FIRST_DAY).crossed[top["batch_id"].to_numpy(), 1])
    ticks = tall["bid_price"].drop_nulls().to_numpy() / TARGET.tick_size
    assert np.abs(ticks - np.round(ticks)).max() < 1e-6


def test_aggregates_are_those_of_the_returns_of_their_day(market):
    day = date(2023, 12, 30)
    frame = market.aggregates(list(INSTRUMENTS.values()), day)
    assert frame["instrument"].to_list() == list(INSTRUMENTS)
    returns = 1e4 * np.diff(latent_day(small_parameters(), day).log_mid[:, 1])
    row = frame.row(1, named=True)
    assert row["std_bps"] == pytest.approx(returns.std())
    assert row["volatility_bps"] == pytest.approx(np.sqrt(np.sum(returns**2)))
    assert row["steps"] == 1440


def test_the_volume_of_history_is_the_one_that_books_would_show():
    parameters = small_parameters(days=2)
    quoted = (
        PlantedMarket(parameters, INSTRUMENTS).snapshots(TARGET, FIRST_DAY, 0).select("bid_quantity", "ask_quantity")
    )
    shown = (
        sum(np.nansum(quoted[column].to_numpy(), axis=1).mean() for column in quoted.columns)
        / TARGET.reference_quantity
    )
    later = small_parameters(days=1, first_day="2024-01-02", last_day="2024-01-02", history_days=11)
    told = PlantedMarket(later, INSTRUMENTS).aggregates([TARGET], FIRST_DAY)["volume"][0]
    assert told == pytest.approx(shown, rel=0.03)


def test_history_ends_where_the_books_begin(market):
    close = market.aggregates([TARGET], date(2023, 12, 31))["close"][0]
    assert close == pytest.approx(market.snapshots(TARGET, FIRST_DAY, 0)["mid"][0], rel=0.005)


def test_what_it_does_not_have_is_refused_by_name(market):
    stranger = TARGET.model_copy(update={"name": "XRPUSDT"})
    with pytest.raises(SourceError, match="XRPUSDT is not planted"):
        market.snapshots(stranger, FIRST_DAY, 0)
    with pytest.raises(SourceError, match=r"FOLAUSDT: 2023-12-31 has no books -> days from 2024-01-01"):
        market.extract(TARGET, date(2023, 12, 31), 0)
    with pytest.raises(SourceError, match="2024-01-01 has no aggregates"):
        market.aggregates([TARGET], FIRST_DAY)
    with pytest.raises(SourceError, match="lead-in"):
        market.snapshots(TARGET, SECOND_DAY, 90_000)
    with pytest.raises(SourceError, match="1 of 1 decisions lie off the grid"):
        market.optimal_probabilities(
            "FOLAUSDT", np.array([to_microseconds(day_start(FIRST_DAY)) + 1]), 1800, np.zeros(1), {}
        )
    with pytest.raises(ConfigError, match="LEADUSDT"):
        PlantedMarket(small_parameters(), {"FOLAUSDT": TARGET})


def test_ticks_too_coarse_for_a_bin_are_refused():
    coarse = {**INSTRUMENTS, "FOLAUSDT": TARGET.model_copy(update={"tick_size": 1.0})}
    with pytest.raises(SourceError, match="FOLAUSDT, 2024-01-01: bin 0 has no room"):
        PlantedMarket(small_parameters(), coarse).snapshots(coarse["FOLAUSDT"], FIRST_DAY, 0)


def test_a_full_book_of_the_demo_has_its_200_levels():
    books = {**DEMO["books"], "empty_bin_share": 0.0}
    tall = PlantedMarket(demo_parameters(days=1, books=books), INSTRUMENTS).extract(TARGET, FIRST_DAY, 0)
    assert tall.group_by("ts").len()["len"].unique().to_list() == [200]
    assert tall.null_count().sum_horizontal()[0] == 0
