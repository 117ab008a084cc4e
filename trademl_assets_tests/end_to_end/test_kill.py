"""Killed in the middle of every asset in turn, and run again: nothing lost, nothing left over, the same content."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from trademl_assets.datasets.leakage_certificate import CERTIFICATE_ASSET
from trademl_assets.evaluation.versions import VERSIONS_ASSET
from trademl_assets_tests.end_to_end.deployed import MADE, Site, Watched

pytestmark = pytest.mark.end_to_end

SPOKEN = {"hyperparameter_study": "trial 1 of 2", "trained_model": "reads step features"}
"""Assets that are killed when their training says this; the others when they have begun to write."""
RANGES = ("raw_depth", "book_snapshots", "aligned_grid", "daily_aggregates", "market_regime")
_LIFELINE_SECONDS = 15


@dataclass
class History:
    """What the kills left behind."""

    site: Site
    outputs: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    orphans: dict[str, list[int]] = field(default_factory=dict)
    last: str = ""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A run that was killed within each asset, each time begun again, and at last left alone."""
    history = History(Site.at(tmp_path_factory.mktemp("killed") / "site"))
    for asset in MADE:
        watched = Watched.start(history.site, "trademl", "run", "demo")
        watched.wait_until(moment(history.site, asset, watched))
        history.statuses[asset] = watched.kill()
        history.outputs[asset] = watched.output
        history.orphans[asset] = remaining(history.site)
    history.last = history.site.run("trademl", "run", "demo").stdout
    return history


def moment(site: Site, asset: str, watched: Watched) -> Callable[[], bool]:
    if asset in SPOKEN:
        begun = f"[{list(MADE).index(asset) + 1}/{len(MADE)}] {asset}: 1 of 1 to make"
        return lambda: begun in watched.output and SPOKEN[asset] in watched.output.split(begun)[1]
    folder = site.store.layout.asset_folder(asset)
    written = "manifest.json" if asset in RANGES else ".lock"
    return lambda: next(folder.rglob(written), None) is not None


def remaining(site: Site) -> list[int]:
    deadline = time.monotonic() + _LIFELINE_SECONDS
    while (processes := site.training_processes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return processes


def scratch_files(site: Site) -> list[str]:
    root = site.store.layout.root / "scratch"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("asset", MADE)
def test_the_kill_came_while_the_asset_was_made(killed: History, asset: str):
    head = f"[{list(MADE).index(asset) + 1}/{len(MADE)}] {asset}:"
    assert killed.statuses[asset] == -9
    assert f"{head} " in killed.outputs[asset]
    assert "to make" in killed.outputs[asset].split(head)[1]
    assert "made in" not in killed.outputs[asset].split(head)[1]


def test_no_training_outlives_its_run(killed: History):
    assert {asset: left for asset, left in killed.orphans.items() if left} == {}


def test_each_run_closes_the_one_that_was_killed_before_it(killed: History):
    following = [*list(killed.outputs.values())[1:], killed.last]
    assert [("marked 1 run(s) as failed whose process is gone" in output) for output in following] == [True] * len(MADE)


def test_content_equals_that_of_an_undisturbed_run(killed: History, finished: Site):
    assert killed.site.hashes() == finished.hashes()


def test_dagster_and_mlflow_know_an_end_of_every_run(killed: History):
    runs = killed.site.dagster_runs()
    assert {run.status.value for run in runs} == {"SUCCESS", "FAILURE"}
    assert sum(run.status.value == "FAILURE" for run in runs) == len(MADE)
    tracked = [run for several in killed.site.tracked().values() for run in several]
    assert {run.info.status for run in tracked} == {"FINISHED", "FAILED"}


def test_what_a_killed_run_left_unchecked_is_made_again(killed: History):
    assert "ended before its checks" in killed.last or any("ended before" in each for each in killed.outputs.values())
    failed = {run.run_id for run in killed.site.dagster_runs() if run.status.value == "FAILURE"}
    assert {place for place, each in killed.site.manifests().items() if each.run_id in failed} == set()


def test_a_finished_trial_and_a_finished_member_are_not_trained_again(killed: History):
    resumed = killed.outputs["trained_model"]
    assert "trial 2 of 2" in resumed
    assert "trial 1 of 2" not in resumed
    assert "member 1/2 (seed 1) is already trained" in killed.outputs["calibrated_model"]


def test_every_partition_is_recorded_in_dagster(killed: History):
    for asset in MADE:
        assert killed.site.materialised(asset) == set(killed.site.store.partitions(asset)), asset


def test_every_partition_has_passed_its_blocking_check(killed: History, finished: Site):
    assert killed.site.passed_checks() == finished.passed_checks()


def test_nothing_half_written_remains(killed: History, finished: Site):
    store = killed.site.store
    artifacts = store.layout.artifacts
    beside = {
        f"{asset}/{key}": store.require(asset, key)
        for asset in (CERTIFICATE_ASSET, VERSIONS_ASSET)
        for key in store.partitions(asset)
    }
    assert [place.split("/")[0] for place in beside] == [CERTIFICATE_ASSET, VERSIONS_ASSET]
    named = {
        store.layout.partition_folder(*place.split("/", 1)) / entry.file
        for place, manifest in {**killed.site.manifests(), **beside}.items()
        for name, entry in manifest.files.items()
        if name not in manifest.evicted
    }
    there = {path for path in artifacts.rglob("*") if path.is_file() and path.name not in {"manifest.json", ".lock"}}
    assert there == named
    assert scratch_files(killed.site) == scratch_files(finished)
