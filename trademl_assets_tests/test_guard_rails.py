"""What this platform deliberately does not do stays undone until a decision says otherwise.

N05: no quantisation, pruning or online learning. O01: no orders, no live ingestion, no retraining by itself (that
schedules and sensors ship stopped is tested with the asset graph). O02: no Kubernetes, no injected anomalies. O03: no
transfer of learnt weights between instruments. And who reads the environment.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from trademl_assets_tests.conftest import PROJECT

PACKAGE = PROJECT / "trademl_assets"
NETWORK = {
    "requests",
    "httpx",
    "aiohttp",
    "websockets",
    "websocket",
    "socket",
    "urllib.request",
    "urllib3",
    "http",
    "ccxt",
    "binance",
}
DATABASES = {"psycopg", "psycopg2", "asyncpg", "adbc_driver_postgresql", "connectorx", "pymysql"}
DATABASE_CLIENT = ("trademl_assets/sources/wire/", "trademl_assets/sources/sql.py")
"""What reads days that are over from a table; nothing else of the package enters a database server."""
ORCHESTRATORS = {"kubernetes", "dagster_k8s", "docker"}
SHRINKING = {"torch.quantization", "torch.ao", "torch.nn.utils.prune"}
WEIGHT_LOADERS = {"load_state_dict", "load_file", "load_model"}


def imports_of(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls_of(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name


def offenders(folder: Path, forbidden: set[str]) -> list[str]:
    return [
        f"{file.relative_to(folder.parent)}: {name}"
        for file in sorted(folder.rglob("*.py"))
        for name in imports_of(file.read_text())
        if any(name == each or name.startswith(f"{each}.") for each in forbidden)
    ]


def test_nothing_speaks_to_an_exchange_or_listens_to_a_live_feed() -> None:
    assert offenders(PACKAGE, NETWORK) == []


def test_databases_are_entered_by_the_sql_source_alone() -> None:
    found = offenders(PACKAGE, DATABASES)
    assert found, "the SQL source is looked at too"
    assert [each for each in found if not each.startswith(DATABASE_CLIENT)] == []


def test_nothing_tracks_pods() -> None:
    assert offenders(PACKAGE, ORCHESTRATORS) == []


def environment_readers(folder: Path) -> list[str]:
    """Modules that look into the environment; those that hand it on whole, by `dict(os.environ)`, do not."""
    found = set()
    for file in folder.rglob("*.py"):
        tree = ast.parse(file.read_text())
        named = {
            node
            for node in ast.walk(tree)
            if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
            or (isinstance(node, ast.alias) and node.name in {"environ", "getenv"})
        }
        calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
        handed_on = {argument for call in calls if getattr(call.func, "id", "") == "dict" for argument in call.args}
        if named - handed_on:
            found.add(str(file.relative_to(folder)))
    return sorted(found)


def test_the_environment_is_read_by_the_configuration_and_by_the_training_process_alone() -> None:
    assert environment_readers(PACKAGE) == ["configuration/reading.py", "training/run.py"]


@pytest.mark.parametrize("text", ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ"])
def test_the_guard_sees_who_reads_the_environment(tmp_path: Path, text: str) -> None:
    (tmp_path / "hidden.py").write_text(text)
    (tmp_path / "handed_on.py").write_text("import os\ninherited = dict(os.environ)")
    assert environment_readers(tmp_path) == ["hidden.py"]


def test_no_network_is_quantised_or_pruned() -> None:
    assert offenders(PACKAGE, SHRINKING) == []


def test_a_training_begins_with_fresh_weights() -> None:
    """Weights are loaded by resumption, by restoring the best epoch and for predicting, in these modules alone."""
    loading = {
        file.name
        for folder in ("models", "training", "tuning")
        for file in (PACKAGE / folder).glob("*.py")
        if WEIGHT_LOADERS & set(calls_of(file.read_text()))
    }
    assert loading == {"artifact.py", "member.py", "objective.py"}


@pytest.mark.parametrize("line", ["import ccxt", "from websockets.sync import client", "import urllib.request"])
def test_the_guard_sees_what_it_guards_against(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "feed.py").write_text(f"{line}\n")
    assert offenders(folder, NETWORK) != []
