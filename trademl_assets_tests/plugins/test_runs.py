"""Books made by plug-ins from raw rows to the grid, and what becomes of them when a plug-in's source changes."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from trademl_assets.configuration.reading import load_configuration
from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.conftest import PROJECT
from trademl_assets_tests.datasets.conftest import FRAME
from trademl_assets_tests.datasets.examples import FIRST, stated
from trademl_assets_tests.plugins.deployment import call, shorten, write_deployment

MODEL = "silent|means"
KEYS = {"dataset": "silent", "hyperparameter_study": MODEL, "trained_model": MODEL, "calibrated_model": MODEL}


def versions(folder: Path) -> dict[str, str]:
    from trademl_assets.orchestration.lineage import Lineage  # noqa: PLC0415 -- Dagster only where it runs
    from trademl_assets.orchestration.specifications import training_template  # noqa: PLC0415 -- the same

    configuration = load_configuration(folder, os.environ)
    lineage = Lineage(configuration)
    store = ArtifactStore.at(Path(configuration.platform.storage_root))
    found = {asset: lineage.code_version(asset, key) for asset, key in KEYS.items()}
    return found | {
        "plain dataset": lineage.code_version("dataset", "plain"),
        "all datasets": lineage.code_version("dataset"),
        "training": training_template(configuration, store, MODEL).code_version,
    }


def run_to_the_grid(folder: Path, home: Path, whole: Path) -> dict[str, Any]:
    """Run the deployment through Dagster from the plug-in source to the grid."""
    from trademl_assets.definitions import build_definitions  # noqa: PLC0415 -- Dagster only where it runs
    from trademl_assets.orchestration.session import run_target  # noqa: PLC0415 -- the same

    shutil.copy(PROJECT / "dagster.yaml", home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    os.chdir(home)
    configuration = load_configuration(folder, os.environ)
    run_target(
        configuration, build_definitions(configuration), experiment=None, until="aligned_grid", report=sys.stderr.write
    )
    store = ArtifactStore.at(Path(configuration.platform.storage_root))
    keys = store.partitions("book_snapshots")
    return {
        **look(folder, home, whole),
        "spreads": {key: store.require("book_snapshots", key).notes["drop_wide_spreads"] for key in keys},
        "mids": sorted({float(mid) for mid in store.open_arrays("aligned_grid", FIRST.isoformat())["mid"].ravel()}),
    }


def look(folder: Path, home: Path, whole: Path) -> dict[str, Any]:
    """What Dagster shows of a partition of each asset, why a plan makes it again, and versions of the whole way."""
    import dagster as dg  # noqa: PLC0415 -- Dagster only where it runs
    from dagster._core.definitions.data_version import CachingStaleStatusResolver  # noqa: PLC0415 -- the same
    from dagster._core.loader import LoadingContextForTest  # noqa: PLC0415 -- the same

    from trademl_assets.definitions import build_definitions  # noqa: PLC0415 -- the same
    from trademl_assets.orchestration.lineage import Artifact, Lineage  # noqa: PLC0415 -- the same
    from trademl_assets.orchestration.planning import why_stale  # noqa: PLC0415 -- the same

    os.environ["DAGSTER_HOME"] = str(home)
    os.chdir(home)
    configuration = load_configuration(folder, os.environ)
    store, lineage = ArtifactStore.at(Path(configuration.platform.storage_root)), Lineage(configuration)
    graph = build_definitions(configuration).resolve_asset_graph()
    book = f"{FIRST}|{FRAME.instruments[0]}"
    found = {}
    with dg.DagsterInstance.get() as instance:
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        for asset, key in (("raw_depth", book), ("book_snapshots", book), ("aligned_grid", FIRST.isoformat())):
            status = resolver.get_status(dg.AssetKey(asset), key)
            found[asset] = [status.value, why_stale(store, lineage, Artifact(asset, key))]
    return {"stale": found, "versions": versions(whole)}


@pytest.fixture(scope="module")
def looks(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a run made, and what is to be seen of it after three plug-ins' sources have changed."""

    def add_a_plain_dataset(sections: dict[str, Any]) -> None:
        sections["datasets"]["plain"] = {**sections["datasets"]["silent"], "labels": stated()["labels"]}

    root = tmp_path_factory.mktemp("run")
    home, site = root / "home", shutil.copytree(installed, root / "site")
    home.mkdir()
    folders = write_deployment(root / "short", shorten), home, write_deployment(root / "whole", add_a_plain_dataset)
    before = call(site, run_to_the_grid, *folders)
    for name in ("drop_wide_spreads", "sign_of_return", "mean_of_prices_network"):
        file = site / "trademl_example_plugin" / f"{name}.py"
        file.write_text(file.read_text() + "\n# another thought\n")
    return before, call(site, look, *folders)


def test_a_run_goes_from_their_source_through_their_step_to_the_grid(looks: tuple[dict[str, Any], ...]) -> None:
    found = looks[0]
    assert found["spreads"] == {f"{FIRST}|{name}": {"left_out": 0} for name in sorted(FRAME.instruments)}
    assert found["mids"] == [100.0]
    assert {shown for shown, _ in found["stale"].values()} == {"FRESH"}


def test_a_changed_step_makes_what_it_made_stale_for_dagster_and_for_a_plan(looks: tuple[dict[str, Any], ...]) -> None:
    stale = looks[1]["stale"]
    assert stale["raw_depth"] == ["FRESH", "removed after use, and book_snapshots needs it again"]
    shown, reason = stale["book_snapshots"]
    assert shown == "STALE"
    assert re.fullmatch(r"code version 3\+drop_wide_spreads@(\w+) -> 3\+drop_wide_spreads@(?!\1)\w+", reason)


def test_versions_name_the_plug_ins_and_change_for_what_they_make_alone(looks: tuple[dict[str, Any], ...]) -> None:
    before, after = (look["versions"] for look in looks)
    own = {asset: ENTRIES[asset].code_version for asset in KEYS}
    base, silence, sign = before["dataset"].split("+")
    assert (base, silence.split("@")[0], sign.split("@")[0]) == (own["dataset"], "minutes_of_silence", "sign_of_return")
    assert before["plain dataset"] == f"{base}+{silence}"
    assert before["all datasets"] == before["dataset"]
    assert before["trained_model"].startswith(f"{own['trained_model']}+mean_of_prices@")
    assert before["training"] == before["trained_model"]
    assert before["calibrated_model"] == own["calibrated_model"]
    changed = {place for place, version in after.items() if version != before[place]}
    assert changed == {"dataset", "all datasets", "hyperparameter_study", "trained_model", "training"}
