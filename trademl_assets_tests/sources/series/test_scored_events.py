import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from trademl_assets.grid.external import align_series
from trademl_assets.sources.contract import SERIES_SCHEMA, SOURCES, SeriesSource
from trademl_assets_tests.conftest import PROJECT
from trademl_assets_tests.sources.series.configured import ALWAYS, refusal, scored

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
EVENT = {"column": "about", "unit": "sniff", "zone": None}


def iso(minutes: float) -> str:
    return (NOON + timedelta(minutes=minutes)).isoformat()


def csv(path: Path, *rows: str, header: str = "published_at,score") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def lines(path: Path, *events: object) -> Path:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def minutes_of(frame, column="published"):
    return [(instant - NOON).total_seconds() / 60 for instant in frame[column]]


def test_csv_parquet_and_json_lines_say_the_same(tmp_path):
    events = [{"published_at": iso(minute), "score": score} for minute, score in ((0, 0.5), (7, -1.0), (7.5, 2.0))]
    pl.DataFrame(events).write_csv(tmp_path / "news.csv")
    pl.DataFrame(events).write_parquet(tmp_path / "news.parquet")
    lines(tmp_path / "news.jsonl", *events)
    (tmp_path / "news.jsonl.gz").write_bytes(gzip.compress((tmp_path / "news.jsonl").read_bytes()))

    frames = [scored(tmp_path / name) for name in ("news.csv", "news.parquet", "news.jsonl", "news.jsonl.gz")]

    assert all(frame.equals(frames[0]) for frame in frames)
    assert dict(frames[0].schema) == dict(SERIES_SCHEMA)
    assert minutes_of(frames[0]) == minutes_of(frames[0], "ts") == [0, 7, 7.5]
    assert frames[0]["value"].to_list() == [0.5, -1.0, 2.0]


def test_instants_may_be_numbers_of_milliseconds(tmp_path):
    milliseconds = int(NOON.timestamp() * 1000)

    from_lines = scored(lines(tmp_path / "news.jsonl", {"published_at": milliseconds, "score": 1}))
    from_csv = scored(csv(tmp_path / "news.csv", f"{milliseconds},1"))

    assert from_lines.equals(from_csv)
    assert minutes_of(from_csv) == [0]


@pytest.mark.parametrize(("reduction", "value"), [("mean", 1.0), ("last", -2.0), ("sum", 3.0)])
def test_scores_of_one_instant_are_reduced_as_configured(tmp_path, reduction, value):
    rows = [f"{iso(0)},9", *(f"{iso(5)},{score}" for score in (1.0, 4.0, -2.0)), f"{iso(6)},7"]

    frame = scored(csv(tmp_path / "news.csv", *rows), reduction=reduction)

    assert frame["value"].to_list() == [9.0, value, 7.0]


def test_scores_published_at_once_about_several_instants_stay_apart(tmp_path):
    path = csv(tmp_path / "news.csv", f"{iso(5)},{iso(3)},1", f"{iso(5)},{iso(1)},2", header="published_at,about,score")

    frame = scored(path, event=EVENT, publication_lag_seconds=30)

    assert minutes_of(frame, "ts") == [1, 3]
    assert minutes_of(frame) == [5.5, 5.5]
    assert frame["value"].to_list() == [2.0, 1.0]


def test_a_score_about_the_future_is_refused_unless_forecasts_are_allowed(tmp_path):
    path = csv(tmp_path / "news.csv", f"{iso(5)},{iso(9)},1", header="published_at,about,score")

    assert "1 scores are about instants after their publication" in refusal(scored, path, event=EVENT)
    assert minutes_of(scored(path, event=EVENT, allow_forecasts=True), "ts") == [9]


def test_an_event_delivered_twice_counts_once(tmp_path):
    rows = (f"a,{iso(0)},1", f"b,{iso(0)},2", f"a,{iso(0)},1")
    path = csv(tmp_path / "news.csv", *rows, header="id,published_at,score")

    assert scored(path, reduction="sum")["value"].to_list() == [4.0]
    assert scored(path, reduction="sum", identity="id")["value"].to_list() == [3.0]


def test_an_event_that_says_two_things_is_refused(tmp_path):
    path = csv(tmp_path / "news.csv", f"a,{iso(0)},1", f"a,{iso(0)},2", header="id,published_at,score")

    assert "id 'a' says different things" in refusal(scored, path, identity="id")


def test_one_series_of_many_in_a_file_is_chosen(tmp_path):
    path = csv(tmp_path / "news.csv", f"BTC,{iso(0)},1", f"ETH,{iso(1)},2", header="asset,published_at,score")

    assert scored(path, equal={"asset": "ETH"})["value"].to_list() == [2.0]
    assert "no row has {'asset': 'DOGE'}, seen were {'asset': ['BTC', 'ETH']}" in refusal(
        scored, path, equal={"asset": "DOGE"}
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["2024-01-02T12:00:00,1"], "have no zone"),
        (["yesterday,1"], "cannot be read as a time"),
        ([f"{iso(0)},inf"], "score holds 1 values that are not finite"),
        ([f"{iso(0)},NaN"], "the text NaN 1 times"),
        ([f"{iso(0)},"], "lacks 1 scores"),
        ([",1"], "lacks 1 instants"),
        (
            [f"{iso(3)},1", f"{iso(1)},1", f"{iso(2)},1"],
            "1 rows step back in publication, the first at 2024-01-02T12:01",
        ),
    ],
)
def test_rows_that_are_not_sound_are_refused(tmp_path, rows, message):
    assert message in refusal(scored, csv(tmp_path / "news.csv", *rows))


def test_instants_without_a_zone_are_read_in_the_configured_one(tmp_path):
    zone = {"column": "published_at", "unit": "sniff", "zone": "America/New_York"}

    assert minutes_of(scored(csv(tmp_path / "news.csv", "2024-01-02 07:00:00,1"), published=zone)) == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"published_at": "2024-01-02T12:00:00Z", "score": 1}\n{"published_at', "line 2: not JSON"),
        ('{"published_at": "2024-01-02T12:00:00Z", "score": "1"}\n', "line 1: score is '1', expected a number"),
        ('{"published_at": "2024-01-02T12:00:00Z", "score": true}\n', "score is True, expected a number"),
        ('{"published_at": null, "score": 1}\n', "published_at is None, expected a text or a number"),
        ('{"published_at": "2024-01-02T12:00:00Z", "score": 1}\n[1]\n', "line 2: a list, expected an object"),
        ('{"score": 1, "body": "' + "x" * 20_000 + '"}\n', "longer than 10000 bytes"),
    ],
)
def test_lines_that_are_not_sound_are_refused(tmp_path, text, message):
    (tmp_path / "news.jsonl").write_text(text)

    assert message in refusal(scored, tmp_path / "news.jsonl")


def test_more_lines_than_allowed_are_refused(tmp_path):
    path = lines(tmp_path / "news.jsonl", *({"published_at": iso(minute), "score": 1} for minute in range(3)))

    assert "line 3: more than 2 lines" in refusal(scored, path, limits={"max_rows": 2})


def example_sources():
    """Sources of every configuration in the examples' page, by series."""
    page = (PROJECT / "examples" / "README.md").read_text()
    sections = [yaml.safe_load(block.split("```")[0]) for block in page.split("```yaml")[1:]]
    return {
        name: (section["sources"][kind]["kind"], section["sources"][kind]["parameters"])
        for section in sections
        for name, kind in section["series"].items()
    }


def test_the_examples_page_configures_sources_that_there_are(monkeypatch):
    monkeypatch.chdir(PROJECT)
    built = {
        name: SOURCES.get(kind)(
            SOURCES.get(kind).parameters.model_validate_json(
                json.dumps(parameters), context={"environment": {"TRADEML_DATA": "data"}}
            ),
            {},
        )
        for name, (kind, parameters) in example_sources().items()
    }

    assert all(isinstance(source, SeriesSource) for source in built.values())
    assert sorted(built) == ["news_btc", "sp500"]
    news = built["news_btc"].series("news_btc", *ALWAYS)
    assert news.height == 8  # of ten events about BTC, one delivered twice and two at one instant
    assert news["value"][1] == pytest.approx(0.1)
    instants = np.array([int(datetime(2024, 1, 8, hour, tzinfo=UTC).timestamp() * 1e6) for hour in (6, 7, 15)])
    # what becomes known on Monday about Saturday does not displace what is known of Monday
    assert align_series(news, instants).value.tolist() == [0.1, 0.8, 0.8]


def test_every_row_of_the_example_says_that_it_is_invented():
    rows = pl.read_csv(PROJECT / "examples" / "scored_news.csv")

    assert rows["headline"].str.starts_with("Invented: ").all()
    assert rows["news_id"].str.starts_with("invented-").all()
