import contextlib
import faulthandler
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from trademl_assets.datasets.windows import Dataset
from trademl_assets.orchestration.resources.compute import TrainingProcesses
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training import run
from trademl_assets.training.launch import build_command, build_environment, launch_training
from trademl_assets.training.leases import Cards
from trademl_assets.training.run import CARDS_VARIABLE, main
from trademl_assets.training.waiting import MODULE, WAITS, Order, WaitingProcess, has_opened_a_card, waiting_process
from trademl_assets_tests.training.conftest import specification, training_values
from trademl_assets_tests.training.test_lifeline import alive

MARKED = "TRADEML_MARKED_BY_A_TEST"
LAUNCHER = """
import os, sys, time
from pathlib import Path
from trademl_assets.training.launch import build_environment
from trademl_assets.training.waiting import waiting_process
with waiting_process(Path(sys.argv[1]), build_environment(1, os.getpid())) as waiting:
    print(waiting.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def environment() -> dict[str, str]:
    return build_environment(1, os.getpid())


@pytest.fixture
def marked() -> Iterator[None]:
    yield
    os.environ.pop(MARKED, None)


def listen(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.usefixtures("marked")
def test_what_waited_does_what_it_is_told_with_the_variables_it_is_told(
    store: ArtifactStore, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait_and_do(command: list[str], environment: dict[str, str]) -> None:
        listen(monkeypatch, Order(Path(command[-1]), {**environment, MARKED: "1"}).line())
        assert main([WAITS, "of nobody"]) == 0

    before = dict(os.environ)
    training = training_values(max_epochs=1)
    try:
        launch_training(specification(store, tmp_path, mode="search", seeds=[2], training=training), runner=wait_and_do)  # type: ignore[arg-type]  # hands it lists and dictionaries
        assert os.environ[MARKED] == "1"
    finally:
        os.environ.clear()
        os.environ.update(before)
    samples = pl.read_parquet(tmp_path / "predictions.parquet")["sample"].to_list()
    assert samples == dataset.samples("validation", on_stride_only=True)["sample"].to_list()


def test_what_is_told_nothing_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    listen(monkeypatch, "")
    assert main([WAITS]) == 0


def test_an_order_that_cannot_be_read_is_an_error_and_no_endless_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(monkeypatch, Order(tmp_path / "nowhere.json", {}).line())
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        main([WAITS])


def test_it_suits_a_training_alone_with_the_variables_it_was_started_with(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    alone, together = (build_command(tmp_path / "spec.json", number, tmp_path) for number in (1, 2))
    with waiting_process(tmp_path, environment) as waiting:
        assert waiting.suits(alone, environment)
        assert waiting.suits(alone, {**environment, "CUDA_VISIBLE_DEVICES": "1"})
        assert not waiting.suits(together, environment)
        assert not waiting.suits(alone, {**environment, "OMP_NUM_THREADS": "7"})
        waiting.end()
        assert not waiting.suits(alone, environment)


def test_it_is_gone_after_the_block_and_bears_the_store_in_its_command_line(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    with contextlib.suppress(KeyError), waiting_process(tmp_path, environment) as waiting:
        assert alive(waiting.process.pid)
        assert str(tmp_path) in Path(f"/proc/{waiting.process.pid}/cmdline").read_text()
        raise KeyError
    assert not alive(waiting.process.pid)


def test_an_open_card_is_seen(tmp_path: Path) -> None:
    (tmp_path / "0").symlink_to("/dev/null")
    assert not has_opened_a_card(tmp_path)
    (tmp_path / "7").symlink_to("/dev/nvidiactl")
    assert has_opened_a_card(tmp_path)


def test_what_an_import_showed_all_cards_is_started_anew_with_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReplacedError(Exception):
        pass

    def replaced(_program: str, arguments: list[str]) -> None:
        raise ReplacedError(arguments[1:])

    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"training": {"timeout": "PT1H"}}))
    monkeypatch.setenv(CARDS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(run, "has_opened_a_card", lambda: True)  # there may be no card where this runs
    monkeypatch.setattr(os, "execv", replaced)
    listen(monkeypatch, Order(spec, {}).line())
    try:
        with pytest.raises(ReplacedError, match=re.escape(str(["-m", MODULE, str(spec)]))):
            main([WAITS])
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.mark.end_to_end
def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    waiting = int(launcher.stdout.readline())
    assert alive(waiting)
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 30
    while alive(waiting) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(waiting)


@pytest.mark.end_to_end
def test_its_timeout_runs_while_it_still_imports(
    tmp_path: Path, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"training": {"timeout": "PT0.05S"}}))
    with waiting_process(tmp_path, environment) as waiting:
        waiting.tell(str(spec), environment)
        assert waiting.process.wait(60) == 1
    said = capfd.readouterr().err
    assert "Timeout (0:00:00.050000)!" in said
    assert "importlib._bootstrap" in said


@pytest.mark.end_to_end
def test_an_interrupted_step_ends_it(store: ArtifactStore, tmp_path: Path) -> None:
    processes = TrainingProcesses(dg.PipesSubprocessClient(), Cards(tmp_path, ()))
    spec = specification(store, tmp_path, training=training_values(max_epochs=100000, devices="cpu"))
    begun: list[WaitingProcess] = []

    @dg.op
    def train(context: dg.OpExecutionContext) -> None:
        with processes.begun(context, spec.training, tmp_path):
            begun.extend(processes._waiting.values())
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            launch_training(spec, runner=processes.runner(context))

    @dg.job
    def job() -> None:
        train()

    with pytest.raises(dg.DagsterExecutionInterruptedError):
        job.execute_in_process()
    assert [alive(waiting.process.pid) for waiting in begun] == [False]
