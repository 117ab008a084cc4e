"""Starts the training process, to train or to predict, and waits for it. Free of torch: runs in Dagster's processes."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trademl_assets.foundation.errors import ConfigError, TradeMLError, TrainingError, TrainingTimeoutError
from trademl_assets.storage.holding import hold_folder
from trademl_assets.training.leases import Cards, shown
from trademl_assets.training.parameters import Devices, TrainingSpec
from trademl_assets.training.prediction_spec import PredictionSpec
from trademl_assets.training.results import FAILURE_FILE, SPEC_FILE, SUMMARY_FILE, read_json, remove_files, write_json
from trademl_assets.training.waiting import MODULE

Runner = Callable[[Sequence[str], Mapping[str, str]], object]
"""Runs a command with additional environment variables until it ends; raises an exception if it fails."""

LOGS_FOLDER = "torchrun"
_KEPT_ON_HEAP_BYTES = 1 << 30
_TAIL_LINES = 15


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        folder: Where its files lie, for `results.collect_training`.
        summary: Its summary.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def validation_log_loss(self) -> float:
        """Validation log-loss of the ensemble in nats."""
        return float(self.summary["ensemble_validation_log_loss"])


def launch_training(
    spec: TrainingSpec | PredictionSpec,
    *,
    runner: Runner | None = None,
    on_progress: Callable[[str], None] = lambda _line: None,
    cards: Cards | None = None,
) -> TrainingResult:
    """Train, or predict with what was trained, in a process of its own.

    Args:
        spec: What to do; its output folder is made and may hold the members of an interrupted run.
        runner: Runs the command; by default a plain subprocess. Orchestration hands in one that uses Pipes.
        on_progress: Takes the lines of the plain subprocess, and says what is waited for.
        cards: GPUs of which the training leases what it needs; with None it leases none, and `auto` is one process.

    Returns:
        The results.

    Raises:
        TrainingError: The training failed, or its process ended without results.
        TrainingTimeoutError: It was stuck.
        ConfigError: Model and dataset do not fit.
    """
    folder = Path(spec.output_folder)
    with hold_folder(folder):  # with the specification in it, nobody takes it for what a trial has left
        remove_files(folder, (FAILURE_FILE, SUMMARY_FILE))
        write_json(folder, SPEC_FILE, spec.model_dump(mode="json"))
    logs = folder / LOGS_FOLDER
    shutil.rmtree(logs, ignore_errors=True)
    command = build_command(folder / SPEC_FILE, count_processes(spec.training.devices, cards), logs)
    with _leased(spec, cards, on_progress) as leased:
        environment = {**build_environment(spec.training.threads, os.getpid()), **leased}
        begun = time.monotonic()
        try:
            (runner or _plain_runner(on_progress))(command, environment)
        except Exception as error:
            raise _failure(folder, spec, error, time.monotonic() - begun) from error
    if not (folder / SUMMARY_FILE).is_file():
        raise _failure(folder, spec, None, time.monotonic() - begun)
    shutil.rmtree(logs, ignore_errors=True)
    return TrainingResult(folder, read_json(folder / SUMMARY_FILE))


@contextmanager
def _leased(
    spec: TrainingSpec | PredictionSpec, cards: Cards | None, say: Callable[[str], None]
) -> Iterator[dict[str, str]]:
    """Yield the variables that show a training its cards and no others."""
    count = 0 if cards is None else cards.wanted(spec.training.devices)
    if cards is None or not count:
        yield {}
        return
    with cards.lease(count, say) as names:
        yield {**shown(names), "TRADEML_CARDS": str(cards.folder)}


def build_command(spec_file: Path, processes: int, logs: Path) -> list[str]:
    """Return the command line of a training: torchrun where processes train together, the same module alone otherwise.

    An agent that watches over a single process would only delay it, by the time that torch takes to be imported.

    Args:
        spec_file: What it does.
        processes: Processes that train together.
        logs: Folder of torchrun's own files, which it would leave in the machine's temporary folder otherwise.
    """
    module = ["-m", MODULE, str(spec_file)]
    if processes == 1:
        return [sys.executable, *module]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", f"--log-dir={logs}"]
    return [sys.executable, *torchrun, *module]


def build_environment(threads: int, launcher: int) -> dict[str, str]:
    """Return the variables that a training process is given.

    Threads are fixed because sums depend on their number. Large buffers stay on the heap: fresh pages for each step
    cost more than the computation on them. The launcher's identifier lets the process end with it.
    """
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "POLARS_MAX_THREADS": str(threads),
        "MALLOC_MMAP_THRESHOLD_": str(_KEPT_ON_HEAP_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(_KEPT_ON_HEAP_BYTES),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTORCH_ENABLE_MPS_FALLBACK": "1",
        "TRADEML_LAUNCHER_PID": str(launcher),
    }


def count_processes(devices: Devices, cards: Cards | None) -> int:
    """Return how many processes train together: one on a CPU, one for each card with `auto`, at most two.

    Args:
        devices: Of the training.
        cards: That `auto` takes from; None for none.
    """
    if devices == "auto":
        return 1 if cards is None else max(1, cards.wanted(devices))
    return 1 if devices == "cpu" else int(devices)


def _plain_runner(on_progress: Callable[[str], None]) -> Runner:
    def run(command: Sequence[str], environment: Mapping[str, str]) -> None:
        inherited = dict(os.environ)  # handed on whole, nothing in it is read here
        with subprocess.Popen(  # noqa: S603 -- our own command
            list(command),
            env={**inherited, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            tail: list[str] = []
            for line in process.stdout or ():
                tail = [*tail[1 - _TAIL_LINES :], line.rstrip()]
                on_progress(line.rstrip())
        if process.returncode:
            raise subprocess.SubprocessError(f"exit status {process.returncode}; its last words:\n" + "\n".join(tail))

    return run


def _failure(
    folder: Path, spec: TrainingSpec | PredictionSpec, error: Exception | None, seconds: float
) -> TradeMLError:
    predicts = isinstance(spec, PredictionSpec)
    what = f"{'prediction' if predicts else 'training'} of {spec.model_name} on {spec.experiment}"
    if (folder / FAILURE_FILE).is_file():
        stated = read_json(folder / FAILURE_FILE)
        kind = ConfigError if stated["error"] == ConfigError.__name__ else TrainingError
        return kind(f"the {what} failed with {stated['error']}: {stated['message']}")
    if seconds >= spec.training.timeout.total_seconds():
        goes_on = "begins anew" if predicts else "goes on from its last checkpoint"
        return TrainingTimeoutError(
            f"the {what} was ended as stuck after {seconds:.0f} s; its log says where it stood -> raise timeout in "
            f"training.yaml, or run again: it {goes_on}"
        )
    reason = f": {error}" if error is not None else " without results"
    return TrainingError(f"the process of the {what} ended{reason} -> look at its log, then run again")


def remove_scratch(folder: Path) -> None:
    """Remove the scratch folder of a training whose results were committed."""
    shutil.rmtree(folder, ignore_errors=True)
