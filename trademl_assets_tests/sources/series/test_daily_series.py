import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from trademl_assets.foundation.errors import SourceError
from trademl_assets.grid.external import align_series
from trademl_assets.sources.contract import SERIES_SCHEMA, SeriesSource
from trademl_assets_tests.sources.series.configured import DAILY, daily, refusal, source


def written(path: Path, *rows: str, header: str = "Date,Close") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def index(market_data):
    return market_data / "daily-sp500"


def test_the_real_index_reads_alike_from_parquet_and_from_its_original_file(index):
    typed = daily(index / "sp500_index_daily.parquet")
    original = daily(index / "original-format" / "sp500.csv.gz")  # dates as 03-01-00

    assert dict(typed.schema) == dict(SERIES_SCHEMA)
    assert typed.equals(original)
    assert typed.height == 4_697
    assert (typed["ts"][0], typed["value"][0]) == (datetime(2000, 1, 3, 21, tzinfo=UTC), 1455.219971)
    assert typed["ts"][-1] == datetime(2018, 8, 31, 20, tzinfo=UTC)  # summer time


def test_the_real_index_stands_still_over_weekends_and_the_seven_days_of_2001(index):
    closes = daily(index / "sp500_index_daily.parquet", publication_lag_seconds=900)
    steps = closes["ts"].dt.convert_time_zone("America/New_York").dt.date().diff().dt.total_days()
    assert (steps > 4).sum() == 3
    assert steps.max() == 7

    instants = pl.datetime_range(
        datetime(2001, 9, 10, tzinfo=UTC), datetime(2001, 9, 18, 12, tzinfo=UTC), timedelta(hours=1), eager=True
    )
    value, age, known = align_series(closes, instants.dt.timestamp("us").to_numpy())

    assert known.all()
    changes = instants.to_numpy()[1:][np.diff(value) != 0]
    assert changes.tolist() == np.array(["2001-09-10T21", "2001-09-17T21"], dtype="datetime64[us]").tolist()
    assert age.max() / 86_400 == pytest.approx(7 - 0.25 / 24)  # an hour's grid, a quarter of an hour of lag


def test_a_close_is_published_at_the_time_of_the_market_and_its_lag(tmp_path):
    path = written(tmp_path / "index.csv", "2024-03-08,1.0", "2024-03-11,2.0")  # clocks change in between

    frame = daily(path, publication_lag_seconds=90)

    assert frame["ts"].to_list() == [datetime(2024, 3, 8, 21, tzinfo=UTC), datetime(2024, 3, 11, 20, tzinfo=UTC)]
    assert (frame["published"] - frame["ts"]).to_list() == [timedelta(seconds=90)] * 2
    assert frame["name"].to_list() == ["index"] * 2


def test_a_clock_hour_that_repeats_is_taken_late(tmp_path):
    path = written(tmp_path / "index.csv", "2024-11-03,1.0")

    assert daily(path, publication_time="01:30")["ts"].to_list() == [datetime(2024, 11, 3, 6, 30, tzinfo=UTC)]


def test_a_clock_hour_that_is_left_out_is_refused(tmp_path):
    path = written(tmp_path / "index.csv", "2024-03-08,1.0", "2024-03-10,1.0")

    assert "2024-03-10 has no 02:30:00" in refusal(daily, path, publication_time="02:30")


def test_a_source_delivers_several_series_and_the_days_of_their_publication(tmp_path):
    path = written(
        tmp_path / "index.csv", "2024-01-02,1,10", "2024-01-03,2,20", "2024-01-04,3,30", header="Date,Close,Vol"
    )
    both = source(
        "daily_series_files",
        {
            "close": {**DAILY, "file": str(path), "publication_lag_seconds": 4 * 3_600},  # after midnight UTC
            "volume": {**DAILY, "file": str(path), "value_column": "Vol"},
        },
    )

    assert isinstance(both, SeriesSource)
    assert both.series("close", date(2024, 1, 3), date(2024, 1, 4))["value"].to_list() == [1.0, 2.0]
    assert both.series("volume", date(2024, 1, 3), date(2024, 1, 3))["value"].to_list() == [20.0]
    with pytest.raises(SourceError, match=r"series other: this source delivers \['close', 'volume'\]"):
        both.series("other", date(2024, 1, 3), date(2024, 1, 4))


@pytest.mark.parametrize(
    "dates",
    [
        ("2024-01-02", "2024-01-13"),
        ("2024/01/02", "2024/01/13"),
        ("20240102", "20240113"),
        ("02-01-24", "13-01-24"),
        ("01-02-24", "01-13-24"),
        ("02/01/2024", "13/01/2024"),
        ("1/2/2024", "1/13/2024"),
        ("02.01.24", "13.01.24"),
        ("02.01.2024", "13.01.2024"),
    ],
)
def test_usual_forms_of_a_date_are_recognised(tmp_path, dates):
    frame = daily(written(tmp_path / "index.csv", *(f"{day},1.0" for day in dates)))

    assert frame["ts"].dt.date().to_list() == [date(2024, 1, 2), date(2024, 1, 13)]


def test_dates_that_can_be_read_in_two_ways_need_a_format(tmp_path):
    path = written(tmp_path / "index.csv", "02-01-24,1.0", "03-01-24,1.0")

    assert "%d-%m-%y or as %m-%d-%y" in refusal(daily, path)
    assert daily(path, date_format="%d-%m-%y")["ts"].dt.day().to_list() == [2, 3]
    assert daily(path, date_format="%m-%d-%y")["ts"].dt.month().to_list() == [2, 3]


def test_dates_that_step_back_in_one_reading_are_read_in_the_other(tmp_path):
    path = written(tmp_path / "index.csv", "05-01-24,1.0", "02-02-24,1.0")

    assert daily(path)["ts"].dt.date().to_list() == [date(2024, 1, 5), date(2024, 2, 2)]


def test_days_without_a_value_are_left_out_and_repeated_rows_count_once(tmp_path):
    path = written(
        tmp_path / "index.csv", "2024-01-02,1", "2024-01-03,", "2024-01-04,.", "2024-01-05,2", "2024-01-05,2"
    )

    assert daily(path)["value"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (["2024-01-02,1", "2024-01-02,2"], {}, "2024-01-02 has the values 1.0 and 2.0"),
        (["2024-01-03,1", "2024-01-02,2"], {}, "dates in %Y-%m-%d that step back"),
        (["2024-01-03,1", "2024-01-02,2"], {"date_format": "%Y-%m-%d"}, "2024-01-02 comes after a later day"),
        (["2024-01-02,inf"], {}, "Close holds 1 values that are not finite, first in row 1"),
        (["2024-01-02,NaN"], {}, "the text NaN 1 times"),
        (["2024-01-02,dear"], {}, "not of its column's type"),
        ([",1"], {}, "lacks 1 dates"),
        (["yesterday,1"], {}, "no dates in a format that is recognised, for example 'yesterday'"),
        (["2024-01-02,1"], {"date_format": "%d.%m.%Y"}, "not all dates in %d.%m.%Y"),
        (["2024-01-02,1"], {"value_column": "Open"}, "lacks the columns Open"),
        (["2024-01-02,1,2"], {}, "lines are cut or blank"),
    ],
)
def test_files_that_are_not_sound_are_refused(tmp_path, rows, changes, message):
    assert message in refusal(daily, written(tmp_path / "index.csv", *rows), **changes)


def test_values_of_parquet_that_are_not_finite_are_refused(tmp_path):
    frame = pl.DataFrame({"Date": [date(2024, 1, 2), date(2024, 1, 3)], "Close": [1.0, float("nan")]})
    frame.write_parquet(tmp_path / "index.parquet")

    assert "first in row 2" in refusal(daily, tmp_path / "index.parquet")


def test_instants_are_no_dates(tmp_path):
    frame = pl.DataFrame({"Date": [datetime(2024, 1, 2, 16)], "Close": [1.0]})  # noqa: DTZ001 -- that it has none is the point
    frame.write_parquet(tmp_path / "index.parquet")
    assert "expected dates" in refusal(daily, tmp_path / "index.parquet")

    midnights = frame.with_columns(pl.col("Date").dt.truncate("1d"))
    midnights.write_parquet(tmp_path / "index.parquet")
    assert daily(tmp_path / "index.parquet").height == 1


def test_missing_truncated_and_huge_files_are_refused(tmp_path):
    assert "cannot be read" in refusal(daily, tmp_path / "none.csv")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"Date,Close\n2024-01-02,1\n" * 100)[:-10])
    assert "cut.csv.gz" in refusal(daily, tmp_path / "cut.csv.gz")
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"Date,Close\n" + b"2024-01-02,1\n" * 100_000))
    assert "larger than" in refusal(daily, tmp_path / "bomb.csv.gz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zone": "America/Atlantis"}, "unknown time zone"),
        ({"publication_time": "16:00Z"}, "names a zone of its own"),
        ({"publication_lag_seconds": -1}, "greater than or equal to 0"),
    ],
)
def test_a_publication_that_cannot_be_is_a_mistake(changes, message):
    with pytest.raises(ValidationError, match=message):
        source("daily_series_files", {"index": {**DAILY, "file": "index.csv", **changes}})
