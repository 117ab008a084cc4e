"""What compression cost, told by one fast pass, is what a plain comparison of every book says."""

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.order_book import certificate as room
from trademl_assets.order_book.certificate import (
    Certificate,
    CertificateParameters,
    certificate_problem,
    certify_day,
)
from trademl_assets.order_book.compression import CompressionParameters, DistanceBins, LevelBins, compress_day
from trademl_assets.order_book.population import KeptDepth
from trademl_assets_tests.order_book.books import DAY, INSTRUMENT, MIDNIGHT, compression, steady_day, tall_rows
from trademl_assets_tests.order_book.test_compression import books

BANDS = (2.0, 10.0, 40.0)
SIZES = (0.5, 2.0, 6.0)
ALLOWED = {
    "max_near_price_error_ticks": None,
    "max_bin_price_error_ticks": None,
    "max_depth_error_share": None,
    "max_cost_error_bps": None,
}
MEASURED = CertificateParameters(depth_bands_bps=BANDS, order_sizes=SIZES, **ALLOWED)
BINS = [
    DistanceBins(by="distance", upper_edges_bps=()),
    DistanceBins(by="distance", upper_edges_bps=(2.5, 10.0, 25.0, 60.0)),
    LevelBins(by="level", upper_edges=(5, 6, 8)),
]


def certify(tall, parameters, depth=None, measured=MEASURED):
    return certify_day(tall, compress_day(tall, INSTRUMENT, DAY, parameters, depth), INSTRUMENT, DAY, measured)


def cost_of(levels, size):
    """What an order pays on average, walking level by level; None where the book is too thin."""
    left, paid = size, 0.0
    for distance, quantity in levels:
        taken = min(left, quantity)
        paid += taken * distance
        left -= taken
        if left <= 1e-12:
            return paid / size
    return None


def compared_plainly(tall, parameters, depth):  # noqa: C901 -- the definition, in one place
    """Errors by kind, from the books before and after as plain lists: (error, weight, value before, value after)."""
    snapshots = compress_day(tall, INSTRUMENT, DAY, parameters, depth).snapshots.to_dicts()
    near, edges = parameters.near_market_levels, parameters.bins.edges
    found = {name: [] for name in ("near_price", "near_quantity", "bin_price")}
    found |= {f"depth {band:g}": [] for band in BANDS} | {f"cost {size:g}": [] for size in SIZES}
    thin = {"before": dict.fromkeys(SIZES, 0), "after": dict.fromkeys(SIZES, 0)}
    for snapshot, (_, rows) in zip(snapshots, tall.group_by("ts", maintain_order=True), strict=True):
        mid = snapshot["mid"]
        to_ticks = mid / 1e4 / INSTRUMENT.tick_size
        for side, sign in (("bid", -1.0), ("ask", 1.0)):
            slots = list(zip(snapshot[f"{side}_distance_bps"], snapshot[f"{side}_quantity"], strict=True))
            before = []
            for row in rows.to_dicts():
                quantity = row[f"{side}_quantity"] or 0
                if not quantity > 0:
                    continue
                distance, level = sign * (row[f"{side}_price"] - mid) / mid * 1e4, row["level"]
                before.append((distance, quantity))
                if depth is not None and level >= getattr(depth, side):
                    continue
                if level < near:
                    found["near_price"].append((abs(distance - slots[level][0]) * to_ticks, quantity, 0, 0))
                    found["near_quantity"].append((abs(quantity - slots[level][1]) / quantity, quantity, 0, 0))
                    continue
                reached = level if parameters.bins.by == "level" else distance
                inside = [b for b, upper in enumerate(edges) if reached < upper]
                if inside:
                    error = abs(distance - slots[near + inside[0]][0]) * to_ticks
                    found["bin_price"].append((error, quantity, 0, 0))
            after = [(distance, quantity) for distance, quantity in slots if quantity > 0]
            for band in BANDS:
                was = sum(quantity for distance, quantity in before if distance < band)
                now = sum(quantity for distance, quantity in after if distance < band)
                if was > 0:
                    found[f"depth {band:g}"].append((abs(now - was) / was, 1.0, was, now))
            for size in SIZES:
                was = cost_of(before, size * INSTRUMENT.reference_quantity)
                now = cost_of(after, size * INSTRUMENT.reference_quantity)
                thin["before"][size] += was is None
                thin["after"][size] += was is not None and now is None
                if was is not None and now is not None:
                    found[f"cost {size:g}"].append((abs(now - was), 1.0, was, now))
    return found, thin


def same(error, pairs, *, valued):
    assert error.comparisons == len(pairs)
    assert (error.worst_at is None) == (error.worst == 0)
    if not pairs:
        assert (error.worst, error.mean) == (0.0, 0.0)
        return
    errors, weights, before, after = (np.asarray(column) for column in zip(*pairs, strict=True))
    assert error.worst == pytest.approx(errors.max(), abs=1e-9)
    assert error.mean == pytest.approx((errors * weights).sum() / weights.sum(), abs=1e-9)
    if valued:
        assert error.before == pytest.approx(before.mean(), abs=1e-9)
        assert error.after == pytest.approx(after.mean(), abs=1e-9)


@given(
    tall=books(),
    near=st.integers(1, 4),
    bins=st.sampled_from(BINS),
    depth=st.none() | st.builds(KeptDepth, st.integers(4, 9), st.integers(4, 9)),
)
@settings(max_examples=200, deadline=None)
def test_the_certificate_says_what_a_plain_comparison_says(tall, near, bins, depth):
    parameters = CompressionParameters(near_market_levels=near, min_nonzero_threshold=1, bins=bins)

    certificate = certify(tall, parameters, depth)

    found, thin = compared_plainly(tall, parameters, depth)
    same(certificate.near_price_ticks, found["near_price"], valued=False)
    same(certificate.near_quantity_share, found["near_quantity"], valued=False)
    same(certificate.bin_price_ticks, found["bin_price"], valued=False)
    for name, error in certificate.depth_share.items():
        same(error, found[f"depth {name}"], valued=True)
    for name, error in certificate.cost_bps.items():
        same(error, found[f"cost {name}"], valued=True)
    assert certificate.thin_before == {f"{size:g}": count for size, count in thin["before"].items()}
    assert certificate.thin_after == {f"{size:g}": count for size, count in thin["after"].items()}


@given(tall=books())
@settings(max_examples=40, deadline=None)
def test_what_is_kept_level_by_level_costs_nothing_but_rounding(tall):
    certificate = certify(tall, compression(9, 100.0))

    assert certificate.bin_price_ticks.comparisons == 0
    assert certificate.near_price_ticks.worst < 1e-3  # single precision of a distance, in ticks of 0.1 at 1000
    assert certificate.near_quantity_share.worst < 1e-6
    assert all(error.worst < 1e-6 for error in certificate.depth_share.values())
    assert all(error.worst < 1e-4 for error in certificate.cost_bps.values())
    assert sum(certificate.thin_after.values()) == 0


def test_what_single_precision_holds_exactly_is_certified_without_any_error():
    bids = [(8_192.0 - k, 0.5 + k) for k in range(1, 9)]  # k * 625 / 512 bps
    asks = [(8_192.0 + k, 0.5 + k) for k in range(1, 9)]

    certificate = certify(tall_rows([MIDNIGHT], [bids], [asks]), compression(8, 100.0))

    errors = [certificate.near_price_ticks, certificate.near_quantity_share, *certificate.depth_share.values()]
    for error in [*errors, *certificate.cost_bps.values()]:
        assert (error.worst, error.mean, error.worst_at, error.before) == (0.0, 0.0, None, error.after)
        assert error.comparisons > 0


def test_blocks_and_threads_decide_nothing(monkeypatch):
    tall = steady_day(snapshots=300, levels=6)
    parameters = compression(2, 12.0, 40.0)
    whole = certify(tall, parameters)
    assert whole.bin_price_ticks.worst > 0
    found = []
    monkeypatch.setattr(room, "BLOCK_SNAPSHOTS", 64)
    for threads in (1, 3):
        monkeypatch.setattr(room, "thread_count", lambda threads=threads: threads)
        found.append(certify(tall, parameters))

    assert found[0] == found[1]
    for ours, theirs in zip(found[0].depth_share.values(), whole.depth_share.values(), strict=True):
        assert (ours.worst, ours.worst_at) == (theirs.worst, theirs.worst_at)
        assert ours.mean == pytest.approx(theirs.mean)


def test_the_first_of_equal_worst_errors_counts_across_blocks_too(monkeypatch):
    monkeypatch.setattr(room, "BLOCK_SNAPSHOTS", 1)
    instants = [MIDNIGHT + timedelta(seconds=10 * number) for number in range(4)]
    calm, torn = [(999.9, 1.0), (999.0, 1.0), (998.9, 1.0)], [(999.9, 1.0), (999.0, 1.0), (996.0, 1.0)]

    certificate = certify(tall_rows(instants, [calm, torn, torn, calm], [[(1000.1, 1.0)]] * 4), compression(1, 50.0))

    assert certificate.bin_price_ticks.worst_at == "2024-01-01T00:00:10+00:00"


def test_an_error_of_just_the_maximum_is_allowed():
    certificate = certify(steady_day(), compression(1, 40.0))
    worst = certificate.bin_price_ticks.worst
    assert worst > 0

    for limit, problem in ((worst, False), (np.nextafter(worst, 0), True)):
        allowed = MEASURED.model_copy(update={"max_bin_price_error_ticks": limit})
        assert bool(certificate_problem(certificate, allowed)) == problem


def test_the_worst_error_is_told_with_its_instant_and_of_equal_ones_the_first():
    calm, torn = [(999.9, 1.0), (999.0, 1.0), (998.9, 1.0)], [(999.9, 1.0), (999.0, 1.0), (996.0, 1.0)]
    instants = [MIDNIGHT + timedelta(seconds=10 * number) for number in range(4)]
    asks = [[(1000.1, 1.0)]] * 4

    certificate = certify(tall_rows(instants, [calm, torn, torn, calm], asks), compression(1, 50.0))

    assert certificate.bin_price_ticks.worst == pytest.approx(15.0, rel=1e-3)  # 3.0 apart, the bin between them
    assert certificate.bin_price_ticks.worst_at == "2024-01-01T00:00:10+00:00"
    assert certificate.snapshots == 4


def test_rows_before_midnight_are_not_judged():
    day = steady_day(snapshots=6, first=MIDNIGHT - timedelta(seconds=30))

    certificate = certify(day, compression(1, 10.0, 40.0))

    assert certificate.snapshots == 3
    assert certificate.near_price_ticks.comparisons == 6


def test_an_order_that_only_the_raw_book_can_fill_is_counted():
    tall = tall_rows([MIDNIGHT], [[(999.9, 1.0), (980.0, 50.0)]], [[(1000.1, 1.0)]])  # 200 bps away: beyond the bins

    certificate = certify(tall, compression(1, 50.0))

    assert certificate.thin_after == {"0.5": 0, "2": 1, "6": 1}
    assert certificate.thin_before == {"0.5": 0, "2": 1, "6": 1}


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("max_near_price_error_ticks", "price of a near level off by"),
        ("max_bin_price_error_ticks", "level off its bin's price by"),
        ("max_depth_error_share", "depth within 2 bps off by"),
        ("max_cost_error_bps", "cost of an order of 2 off by"),
    ],
)
def test_a_maximum_that_is_passed_is_told_and_one_that_is_kept_is_not(limit, told):
    asks = [(1000.1 + 0.05 * k, 1.0) for k in range(9)]
    certificate = certify(tall_rows([MIDNIGHT], [[(999.9, 4.0), (999.0, 9.0)]], [asks]), compression(1, 3.0, 20.0))
    allowed = {**ALLOWED, limit: 0.0}

    problem = certificate_problem(certificate, MEASURED.model_copy(update=allowed))

    assert told in problem
    assert certificate_problem(certificate, MEASURED.model_copy(update={**ALLOWED, limit: 1e6})) == ""
    assert certificate_problem(certificate, MEASURED) == ""


def test_other_rows_than_those_that_were_compressed_are_refused():
    compressed = compress_day(steady_day(snapshots=5), INSTRUMENT, DAY, compression(1, 10.0), None)

    with pytest.raises(DataQualityError, match="4 snapshots in the rows, 5 after compression"):
        certify_day(steady_day(snapshots=4), compressed, INSTRUMENT, DAY, MEASURED)


def test_a_certificate_is_json_and_back():
    certificate = certify(steady_day(), compression(1, 10.0, 40.0))

    assert Certificate.from_dict(certificate.as_dict()) == certificate
    assert all(math.isfinite(value) for value in certificate.numbers().values())


def test_the_ratio_is_that_of_the_bytes():
    tall = steady_day(snapshots=10, levels=4)

    certificate = certify(tall, compression(2, 10.0))

    row_bytes, snapshot_bytes = 8 + 8 + 4 + 4 * 8, 8 + 8 + 8 + 2 * 4 + 1 + 4 * 3 * 4
    assert certificate.compression_ratio == pytest.approx(40 * row_bytes / (10 * snapshot_bytes))


def test_sizes_that_do_not_ascend_are_refused():
    with pytest.raises(ValidationError, match="order_sizes must ascend"):
        CertificateParameters(depth_bands_bps=(1.0,), order_sizes=(2.0, 1.0), **ALLOWED)
