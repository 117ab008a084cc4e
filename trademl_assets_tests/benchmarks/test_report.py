"""Benchmarks compare within rounds, end with a line a promise, and fail when one is short."""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import run
from benchmarks.measure import OURS, Benchmark, Limit, Measurement, Outcome, SkippedError, measure, outcomes

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def small_heap() -> Iterator[None]:
    """Let the collections before every measurement pass over what the tests before this module left behind."""
    gc.freeze()
    yield
    gc.unfreeze()


class Machine:
    """A clock that moves only while a contender works, and runs slow during some rounds."""

    def __init__(self, slowness: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        self.slowness = slowness

    def clock(self) -> float:
        return self.now

    def contender(self, name: str, seconds: float) -> Callable[[], str]:
        def work() -> str:
            timed = len(self.calls) - 4
            self.now += seconds * (self.slowness[timed // 3] if timed >= 0 else 1.0)
            self.calls.append(name)
            return name

        return work

    def benchmark(self, ours: float, peer: float) -> Benchmark:
        contenders = {OURS: self.contender(OURS, ours), "peer": self.contender("peer", peer)}
        return Benchmark("task", contenders, {"peer": 1.0}, never_disagree, rounds=len(self.slowness))


def never_disagree(_results: object) -> None:
    pass


def test_a_slow_moment_of_the_machine_hits_both_and_changes_no_ratio() -> None:
    machine = Machine(slowness=(1.0, 10.0, 30.0))
    measured = measure(machine.benchmark(ours=1.0, peer=2.0), machine.clock)
    assert measured.ratio("peer") == 0.5
    assert measured.seconds == {OURS: [1.0, 10.0, 30.0], "peer": [2.0, 20.0, 60.0]}
    assert measured.median(OURS) == 10.0


def test_short_contenders_are_repeated_and_the_order_moves_on() -> None:
    machine = Machine()
    measure(machine.benchmark(ours=1.0, peer=2.0), machine.clock)
    warmed, rounds = machine.calls[:4], machine.calls[4:]
    assert warmed == [OURS, "peer", OURS, "peer"]
    assert rounds == [OURS, OURS, "peer", "peer", OURS, OURS, OURS, OURS, "peer"]


@pytest.mark.parametrize(
    ("measured", "line", "is_kept"),
    [
        (0.5, "task/peer 0.5 0.8 ok", True),
        (0.8, "task/peer 0.8 0.8 ok", True),
        (1.23456, "task/peer 1.23 0.8 short", False),
    ],
)
def test_a_line_says_name_measured_target_and_verdict(measured: float, line: str, *, is_kept: bool) -> None:
    outcome = Outcome("task/peer", measured, 0.8)
    assert outcome.line() == line
    assert outcome.is_kept is is_kept


def test_a_promise_is_named_by_task_and_contender() -> None:
    (outcome,) = outcomes(Machine().benchmark(1.0, 1.0), Measurement({OURS: [3.0], "peer": [4.0]}))
    assert outcome == Outcome("task/peer", 0.75, 1.0)


def test_a_limit_is_held_against_what_it_finds() -> None:
    limits = {"seconds": Limit(lambda found: found.median(OURS), 2.0)}
    benchmark = replace(Machine().benchmark(1.0, 1.0), promises={}, limits=limits)
    (outcome,) = outcomes(benchmark, Measurement({OURS: [3.0, 2.5, 1.0], "peer": [4.0]}))
    assert outcome.line() == "task/seconds 2.5 2 short"


def made(promises: dict[str, float]) -> Callable[[Path], Benchmark]:
    contenders = {OURS: lambda: sum(range(1000)), "peer": lambda: sum(range(1000))}
    return lambda _folder: Benchmark("task", contenders, promises, never_disagree, rounds=3)


def skipped(_folder: Path) -> Benchmark:
    raise SkippedError("no market data")


def test_the_report_ends_with_its_promises_and_its_status_says_whether_all_are_kept() -> None:
    said: list[str] = []
    assert run({"a": made({"peer": 1e6}), "b": skipped}, said.append) == 0
    assert said[-2] == "b skipped: no market data"
    assert said[-1].startswith("task/peer ")
    assert said[-1].endswith(" 1e+06 ok")
    assert run({"a": made({"peer": 1e-9}), "b": made({"peer": 1e6})}, said.append) == 1
    assert [line.split()[-1] for line in said[-2:]] == ["short", "ok"]


def test_contenders_that_disagree_are_not_measured() -> None:
    def disagree(results: object) -> None:
        raise AssertionError(results)

    contenders = {OURS: lambda: 1, "peer": lambda: 2}
    with pytest.raises(AssertionError, match="'ours': 1, 'peer': 2"):
        measure(Benchmark("task", contenders, {"peer": 1.0}, disagree))


def test_a_promise_about_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['peer'\]"):
        measure(Benchmark("task", {OURS: lambda: 1}, {"peer": 1.0}, never_disagree))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    command = [sys.executable, "-m", "benchmarks", "compresion"]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "unknown: compresion -> choose from compression, " in answer.stderr
