from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl_assets.foundation.calendar import to_microseconds
from trademl_assets.foundation.errors import DataQualityError
from trademl_assets.grid.external import align_series
from trademl_assets.sources.contract import SERIES_SCHEMA

FRIDAY = datetime(2024, 1, 5, tzinfo=UTC)
HOUR_US = 3_600_000_000
CUTS = 60


def series_of(*rows, name="index"):
    """Rows of (hour about, hour published, value) from Friday midnight on, in the order of the contract."""
    columns = [
        {"ts": FRIDAY + timedelta(hours=about), "published": FRIDAY + timedelta(hours=published), "value": value}
        for about, published, value in rows
    ]
    frame = pl.DataFrame(columns, schema={**SERIES_SCHEMA}).with_columns(name=pl.lit(name))
    return frame.sort("published", "ts", maintain_order=True)


def at_hours(*hours):
    return to_microseconds(FRIDAY) + np.round(np.asarray(hours, dtype=float) * HOUR_US).astype(np.int64)


def random_series(random, count):
    """Publications in random order about random instants, revisions among them, instants repeated."""
    published = np.sort(random.integers(0, 40, count))
    about = published - random.integers(0, 20, count)
    unique = dict(zip(zip(published.tolist(), about.tolist(), strict=True), random.normal(0, 1, count), strict=True))
    return series_of(*((about, published, value) for (published, about), value in unique.items()))


def plain(frame, instant_us, max_age_seconds):
    """The same by definition: of what is out, the latest about, as it was published last."""
    out = [
        (row["ts"], row["published"], row["value"])
        for row in frame.to_dicts()
        if to_microseconds(row["published"]) <= instant_us
    ]
    if not out:
        return np.nan, np.nan, False
    _, published, value = max(out, key=lambda row: row[:2])
    age = (instant_us - to_microseconds(published)) / 1e6
    if max_age_seconds is not None and age > max_age_seconds:
        return np.nan, np.nan, False
    return value, age, True


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 60),
    max_age=st.one_of(st.none(), st.integers(1, 100_000)),
)
@settings(max_examples=80, deadline=None)
def test_every_instant_shows_what_the_definition_says(seed, count, max_age):
    random = np.random.default_rng(seed)
    frame = random_series(random, count)
    instants = at_hours(*random.permutation(np.arange(-2, 45, 0.5)))

    found = align_series(frame, instants, max_age)

    expected = [plain(frame, instant, max_age) for instant in instants.tolist()]
    for position, column in enumerate(found):
        np.testing.assert_array_equal(column, [row[position] for row in expected])


@pytest.mark.parametrize("seed", range(3))
def test_nothing_at_or_before_an_instant_changes_with_what_is_published_after_it(seed):
    random = np.random.default_rng(seed)
    frame = random_series(random, 200)
    instants = at_hours(*np.arange(-1, 42, 0.25))
    before = align_series(frame, instants)

    for cut in random.choice(instants, CUTS, replace=False):
        later = pl.col("published").dt.timestamp("us") > cut
        kept = frame.filter(~later)
        noise = pl.Series(random.normal(0, 1, frame.height)) * 1e3
        others = frame.with_columns(
            value=pl.when(later).then(noise).otherwise("value"),
            ts=pl.when(later).then(pl.col("ts") + timedelta(hours=100)).otherwise("ts"),
        )
        past = instants <= cut
        for changed in (kept, others):
            after = align_series(changed, instants)
            for name, whole, found in zip(before._fields, before, after, strict=True):
                np.testing.assert_array_equal(found[past], whole[past], err_msg=f"{name} at cut {cut}")


def test_a_value_is_known_from_the_microsecond_of_its_publication_on():
    value, age, known = align_series(series_of((16, 16.25, 7.0)), at_hours(16, 16.25) + np.array([[-1], [0]]).ravel())
    assert known.tolist() == [False, True]
    assert (value[1], age[1]) == (7.0, 0.0)

    just_before = align_series(series_of((16, 16.25, 7.0)), at_hours(16.25) - 1)
    assert not just_before.known[0]
    assert np.isnan([just_before.value[0], just_before.age_seconds[0]]).all()


def test_over_the_weekend_the_value_stays_and_its_age_grows():
    close = series_of((21, 21, 4_700.0), (3 * 24 + 21, 3 * 24 + 21, 4_760.0))

    value, age, known = align_series(close, at_hours(21, 45, 69, 93))  # Friday to Monday

    assert value.tolist() == [4_700.0, 4_700.0, 4_700.0, 4_760.0]
    assert (age / 3_600).tolist() == [0, 24, 48, 0]
    assert known.all()


def test_a_value_that_is_too_old_is_not_known():
    close = series_of((0, 0, 5.0))

    value, age, known = align_series(close, at_hours(1, 2, 2) + np.array([0, 0, 1]), max_age_seconds=7_200)

    assert known.tolist() == [True, True, False]
    assert value[:2].tolist() == [5.0, 5.0]
    assert np.isnan([value[2], age[2]]).all()


def test_a_revision_replaces_the_value_from_its_own_publication_on():
    revised = series_of((0, 1, 5.0), (0, 10, 6.0))

    value, age, _ = align_series(revised, at_hours(1, 9, 10, 12))

    assert value.tolist() == [5.0, 5.0, 6.0, 6.0]
    assert (age / 3_600).tolist() == [0, 8, 0, 2]


def test_a_late_publication_about_an_older_instant_changes_nothing():
    late = series_of((0, 1, 5.0), (8, 9, 6.0), (0, 10, 5.5))

    value, age, _ = align_series(late, at_hours(9, 10, 11))

    assert value.tolist() == [6.0, 6.0, 6.0]
    assert (age / 3_600).tolist() == [0, 1, 2]


def test_of_several_published_at_once_the_latest_about_is_shown():
    assert align_series(series_of((0, 3, 1.0), (2, 3, 2.0), (1, 3, 3.0)), at_hours(3)).value.tolist() == [2.0]


def test_an_empty_series_is_known_nowhere():
    found = align_series(series_of(), at_hours(0, 1))

    assert not found.known.any()
    assert np.isnan(found.value).all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (series_of((0, 2, 1.0), (1, 3, 2.0)).reverse(), "1 rows not ascending"),
        (pl.concat([series_of((0, 2, 1.0)), series_of((0, 2, 2.0))]), "1 rows not ascending"),
        (series_of((0, 2, float("nan"))), "1 rows without an instant or a finite value"),
        (series_of((0, 2, float("inf"))), "1 rows without an instant or a finite value"),
        (series_of((0, 2, None)), "1 rows without an instant or a finite value"),
        (pl.concat([series_of((0, 2, 1.0)), series_of((0, 3, 2.0), name="news")]), "index, news: rows of several"),
        (series_of((0, 2, 1.0)).drop("published"), "expected"),
    ],
)
def test_rows_that_are_not_sound_are_refused(frame, message):
    with pytest.raises(DataQualityError, match=message):
        align_series(frame, at_hours(5))
