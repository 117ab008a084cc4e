"""One finished deployment for the whole session; tests that change it take a copy."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trademl_assets_tests.end_to_end.deployed import Site


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The tiny market, made to its end by `trademl run demo` in an empty folder; leave it as it is.

    Workers share one: whoever comes first makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    root = base / "finished"
    with (base / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "first_run.txt").exists():
            done = Site.at(root).run("trademl", "run", "demo")
            (root / "first_run.txt").write_text(done.stdout)
    return Site(root)


@pytest.fixture
def copied(finished: Site, tmp_path: Path) -> Callable[[], Site]:
    """Makes a copy of the finished deployment that a test may change."""
    return lambda: finished.copy(tmp_path / "site")
