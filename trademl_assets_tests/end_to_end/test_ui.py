"""The web interface over a finished deployment: what it shows, and a backfill launched as it launches one."""

import json
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trademl_assets.orchestration.catalog import ENTRIES
from trademl_assets_tests.end_to_end.browser import CHROMIUM, Browser
from trademl_assets_tests.end_to_end.deployed import MADE, Site, Watched

pytestmark = pytest.mark.end_to_end

NAMES = ("LEADUSDT", "FOLAUSDT", "FOLBUSDT")
BACKFILLED = tuple(f"{day}|{name}" for day in ("2024-01-02", "2024-01-03") for name in NAMES)
_BACKFILL_SECONDS = 180

LAUNCH = """
mutation LaunchPartitionBackfill($backfillParams: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfillParams) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message stack }
  }
}
"""
STATUS = """
query SingleBackfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status }
  }
}
"""


@dataclass
class Served:
    """A deployment behind its web server."""

    site: Site
    address: str
    workspace: Path
    processes: ExitStack

    def start(self, program: str, *arguments: str, port: int | None = None) -> None:
        """Start a process that ends with the deployment; return when it listens on a port, if one is given."""
        watched = Watched.start(self.site, program, *arguments)
        self.processes.callback(watched.kill)
        if port is not None:
            watched.wait_until(lambda: listens(port))

    def ask(self, query: str, variables: Mapping[str, Any]) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 -- the address is ours
            f"{self.address}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 -- as above
            told = json.load(answer)
        assert "errors" not in told, told
        return told["data"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def served(finished: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The web server over a copy of the finished deployment; code is loaded once, by a server that all share."""
    site = finished.copy(tmp_path_factory.mktemp("served") / "site")
    code, web = free_port(), free_port()
    workspace = site.home / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": code, "location_name": "trademl_assets"}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
    with ExitStack() as processes:
        served = Served(site, f"http://127.0.0.1:{web}", workspace, processes)
        module = ("-m", "trademl_assets.definitions", "--location-name", "trademl_assets")
        served.start("dagster", "api", "grpc", *module, "--host", "127.0.0.1", "--port", str(code), port=code)
        served.start("dagster-webserver", "-h", "127.0.0.1", "-p", str(web), "-w", str(workspace), port=web)
        yield served


@pytest.fixture(scope="module")
def backfill(served: Served) -> str:
    """A backfill as the UI launches it, taken up by a daemon; its identifier."""
    parameters = {
        "assetSelection": [{"path": ["book_snapshots"]}],
        "partitionNames": list(BACKFILLED),
        "fromFailure": False,
        "tags": [],
    }
    told = served.ask(LAUNCH, {"backfillParams": parameters})["launchPartitionBackfill"]
    assert told["__typename"] == "LaunchBackfillSuccess", told
    served.start("dagster-daemon", "run", "-w", str(served.workspace))
    return str(told["backfillId"])


@pytest.fixture(scope="module")
def browser(backfill: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, used while the daemon takes up the backfill."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}; `make system-packages` installs it")
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def test_the_asset_graph_shows_the_groups(served: Served, browser: Browser):
    groups = {ENTRIES[asset].group for asset in MADE}
    text = browser.read(f"{served.address}/asset-groups", lambda text: all(group in text for group in groups))
    assert {group for group in groups if group not in text} == set()


def test_a_partition_of_the_grid_shows_its_metadata(served: Served, browser: Browser):
    manifest = served.site.store.require("aligned_grid", "2024-01-03")
    address = f"{served.address}/assets/aligned_grid?view=partitions&partition=2024-01-03"
    text = browser.read(address, lambda text: manifest.content_hash in text and "FOLAUSDT_observed_share" in text)
    assert manifest.content_hash in text
    assert "FOLAUSDT_observed_share" in text
    assert "aligned_grid_arrays" in browser.read(
        f"{served.address}/assets/aligned_grid?view=checks", lambda text: "aligned_grid_arrays" in text
    )


def test_the_report_is_linked_from_its_asset(served: Served, browser: Browser):
    address = f"{served.address}/assets/model_evaluation?view=partitions&partition=demo%7Cdual_channel"
    text = browser.read(address, lambda text: "/report-" in text)
    assert ".html" in text.split("/report-")[1].split()[0]


def test_a_backfill_from_the_ui_makes_its_partitions(served: Served, backfill: str, finished: Site):
    deadline = time.monotonic() + _BACKFILL_SECONDS
    status = ""
    while not status.startswith(("COMPLETED", "FAILED", "CANCELED")) and time.monotonic() < deadline:
        time.sleep(0.5)
        status = served.ask(STATUS, {"id": backfill})["partitionBackfillOrError"]["status"]
    assert status == "COMPLETED_SUCCESS"
    runs = [run for run in served.site.dagster_runs() if run.tags.get("dagster/backfill") == backfill]
    assert {run.status.value for run in runs} == {"SUCCESS"}
    made = {place for place, each in served.site.manifests().items() if each.run_id in {run.run_id for run in runs}}
    assert made == {f"book_snapshots/{key}" for key in BACKFILLED}
    assert served.site.hashes() == finished.hashes()
    assert [served.site.tracked_statuses(run.run_id) for run in runs] == [{"FINISHED"}] * len(runs)
    assert served.site.secrets_found() == []
