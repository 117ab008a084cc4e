"""Starts the worker processes of a study, a device each, and replaces those that die. Free of torch."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trademl_assets.foundation.errors import ConfigError, TradeMLError, TrainingError
from trademl_assets.training.launch import build_environment
from trademl_assets.training.leases import Cards, shown
from trademl_assets.training.results import read_json, write_json
from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.template import TrainingTemplate
from trademl_assets.tuning.work import StudyPlace

_TAIL_LINES = 15


@dataclass
class _Worker:
    """A process that works, and the last lines it said."""

    number: int
    process: "subprocess.Popen[str]"
    reader: threading.Thread
    tail: list[str]


class WorkerProcesses:
    """Has a study worked off by processes of this machine.

    Args:
        template: What the trainings have in common.
        parameters: The search.
        scratch: Folder for the workers' orders.
        on_line: Takes the lines that workers say.
        cards: GPUs of which each worker leases one, for as long as the study lasts; None leases none.
    """

    def __init__(
        self,
        template: TrainingTemplate,
        parameters: StudyParameters,
        scratch: Path,
        on_line: Callable[[str], None],
        cards: Cards | None = None,
    ) -> None:
        self._template = template
        self._parameters = parameters
        self._scratch = scratch
        self._on_line = on_line
        self._cards = cards
        self._leased: tuple[str, ...] = ()
        self._ended: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

    def __call__(self, place: StudyPlace, release: Callable[[], int]) -> None:
        """Run workers until none of them finds a trial to begin: one a card, where trials are trained on cards.

        All cards are waited for before the first trial, as a training of two cards waits for both, so that nobody who
        holds one waits for another who does.

        Args:
            place: Where the study is.
            release: Gives up the trials of dead processes, and says how many there were.

        Raises:
            TrainingError: A worker ended without a trial to blame.
            ConfigError: Study and dataset do not fit.
        """
        count = self._parameters.workers
        with ExitStack() as held:
            if self._cards is not None and self._cards.wanted(self._template.searchable["training"]["devices"]):
                count = min(count, len(self._cards.names))
                self._leased = held.enter_context(self._cards.lease(count, self._on_line))
            self._employ(count, place, release)

    def _employ(self, count: int, place: StudyPlace, release: Callable[[], int]) -> None:
        running = {number: self._start(number, place) for number in range(count)}
        try:
            while running:
                ended = self._ended.get()
                del running[ended.number]
                ended.reader.join()
                if ended.process.wait() == 0:
                    continue
                failure = self._failure(ended)
                if not release() or failure is not None:
                    raise failure or TrainingError(
                        f"a worker of the study ended with status {ended.process.returncode}; its last words:\n"
                        + "\n".join(ended.tail)
                    )
                self._on_line(f"worker {ended.number} died; its trial is begun again")
                running[ended.number] = self._start(ended.number, place)
        finally:
            for worker in running.values():
                worker.process.kill()
                worker.process.wait()

    def _start(self, number: int, place: StudyPlace) -> _Worker:
        self._failure_file(number).unlink(missing_ok=True)
        name = f"worker_{number}.json"
        write_json(self._scratch, name, self._order(number, place))
        process = subprocess.Popen(  # noqa: S603 -- our own command
            [sys.executable, "-m", "trademl_assets.tuning.worker", str(self._scratch / name)],
            env=self._environment(number),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if process.stdin is not None:
            process.stdin.write(f"{place.url}\n")
            process.stdin.close()
        tail: list[str] = []
        reader = threading.Thread(target=lambda: self._read(worker), name=f"study worker {number}", daemon=True)
        worker = _Worker(number, process, reader, tail)
        reader.start()
        return worker

    def _read(self, worker: _Worker) -> None:
        for line in worker.process.stdout or ():
            worker.tail[:] = [*worker.tail[1 - _TAIL_LINES :], line.rstrip()]
            self._on_line(line.rstrip())
        self._ended.put(worker)

    def _order(self, number: int, place: StudyPlace) -> dict[str, Any]:
        return {
            "template": self._template.alone(self._cards).model_dump(mode="json"),
            "parameters": self._parameters.model_dump(mode="json"),
            "study": place.name,
            "workers": str(place.workers),
            "defaults": dict(place.defaults),
            "failure": str(self._failure_file(number)),
            "launcher": os.getpid(),
            "card": self._card(number),
            "leases": None if self._cards is None else str(self._cards.folder),
        }

    def _failure_file(self, number: int) -> Path:
        return self._scratch / f"worker_{number}_failure.json"

    def _failure(self, worker: _Worker) -> TradeMLError | None:
        file = self._failure_file(worker.number)
        if not file.is_file():
            return None
        stated = read_json(file)
        kind = ConfigError if stated["error"] == ConfigError.__name__ else TrainingError
        return kind(f"a worker of the study failed with {stated['error']}: {stated['message']}")

    def _card(self, number: int) -> str | None:
        return self._leased[number] if self._leased else None

    def _environment(self, number: int) -> dict[str, str]:
        """What the worker is started with: it sees its own card, where it has one."""
        inherited = dict(os.environ)  # handed on but for the devices
        stated = build_environment(int(self._template.searchable["training"]["threads"]), os.getpid())
        card = self._card(number)
        return {**inherited, **stated, **(shown([card]) if card is not None else {})}
