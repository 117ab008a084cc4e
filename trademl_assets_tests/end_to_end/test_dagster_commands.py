"""Dagster's own commands make the same partitions as `trademl run`."""

import json
from collections.abc import Iterator

import pytest

from trademl_assets_tests.end_to_end.deployed import Site

pytestmark = pytest.mark.end_to_end

MODULE = ("-m", "trademl_assets.definitions")
DAY, NAME = "2024-01-06", "FOLAUSDT"


@pytest.fixture(scope="module")
def site(finished: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = finished.copy(tmp_path_factory.mktemp("commands") / "site")
    hashes = finished.hashes()
    yield site
    assert site.hashes() == hashes


def test_a_job_takes_the_tags_of_a_partition_of_two_dimensions(site: Site):
    before = site.written()
    tags = {
        "dagster/partition": f"{DAY}|{NAME}",
        "dagster/partition/day": DAY,
        "dagster/partition/instrument": NAME,
    }
    site.run("dagster", "job", "execute", *MODULE, "-j", "tall_books_job", "--tags", json.dumps(tags))
    made = {place for place, written in site.written().items() if written != before[place]}
    assert made == {f"raw_depth/{DAY}|{NAME}", f"book_snapshots/{DAY}|{NAME}"}
    run = site.dagster_runs()[0]
    assert (run.job_name, run.status.value) == ("tall_books_job", "SUCCESS")
    assert site.tracked_statuses(run.run_id) == {"FINISHED"}


def test_an_asset_is_materialised_by_its_partition(site: Site):
    before = site.written()
    site.run(
        "dagster", "asset", "materialize", *MODULE, "--select", "book_snapshots", "--partition", f"2024-01-02|{NAME}"
    )
    made = {place for place, written in site.written().items() if written != before[place]}
    assert made == {f"book_snapshots/2024-01-02|{NAME}"}
    run = site.dagster_runs()[0]
    assert site.tracked_statuses(run.run_id) == {"FINISHED"}
    assert site.manifests()[f"book_snapshots/2024-01-02|{NAME}"].run_id == run.run_id
