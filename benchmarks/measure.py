"""Interleaved, paired measurement: a round runs every contender once, and only ratios within a round are compared."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS = "ours"
MINIMUM_ROUNDS = 3
MOST_REPEATS = 100


class SkippedError(Exception):
    """A benchmark cannot run here; the message says why."""


@dataclass(frozen=True)
class Benchmark:
    """Contenders for one task.

    Attributes:
        name: Name of the task.
        contenders: Callables by name, each without arguments and doing the whole task; one of them is `ours`.
        promises: The most that the time of `ours` may be, in times that of the named contender.
        agree: Raises where the results of the contenders, by name, do not say the same.
        rounds: How often each contender runs.
        limits: Promises that are no ratio, by name: memory, or seconds that a requirement states.
    """

    name: str
    contenders: Mapping[str, Callable[[], Any]]
    promises: Mapping[str, float]
    agree: Callable[[Mapping[str, Any]], None]
    rounds: int = 9
    limits: Mapping[str, "Limit"] = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """A promise in a unit of its own, which the name says.

    Attributes:
        find: What was measured.
        target: The most that is promised.
    """

    find: Callable[["Measurement"], float]
    target: float


@dataclass(frozen=True)
class Outcome:
    """A promise beside what was measured.

    Attributes:
        name: Task and the contender it was measured against, or the limit.
        measured: Median over the rounds of the ratio of times, ours to theirs; of a limit what it finds.
        target: The most that was promised.
    """

    name: str
    measured: float
    target: float

    @property
    def is_kept(self) -> bool:
        """Whether the promise is kept."""
        return self.measured <= self.target

    def line(self) -> str:
        """Return `name measured target ok|short`."""
        return f"{self.name} {self.measured:.3g} {self.target:.3g} {'ok' if self.is_kept else 'short'}"


@dataclass(frozen=True)
class Study:
    """What a longer task told that cannot be run against others in rounds: measured once, in a process of its own.

    Attributes:
        lines: A table for people.
        outcomes: Promises beside what was measured.
    """

    lines: Sequence[str]
    outcomes: Sequence[Outcome]


@dataclass
class Measurement:
    """Seconds a call of every round, by contender."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, contender: str) -> float:
        """Return the median seconds of a contender, for a first impression only."""
        return statistics.median(self.seconds[contender])

    def ratio(self, contender: str) -> float:
        """Return the median over the rounds of the time of `ours` to that of `contender` in the same round."""
        return statistics.median(
            ours / theirs for ours, theirs in zip(self.seconds[OURS], self.seconds[contender], strict=True)
        )


def measure(benchmark: Benchmark, clock: Callable[[], float] = time.perf_counter) -> Measurement:
    """Run a benchmark.

    The first call of each contender warms caches and compilers and is checked, not timed. A second one tells how long
    it takes: short contenders are then called several times in a row, so that on a busy machine all are interrupted
    alike. The order within a round moves on by one from round to round, so that nobody always runs after the same
    neighbour.

    Args:
        benchmark: What to run.
        clock: Seconds that only grow.

    Returns:
        Seconds a call of every round.

    Raises:
        ValueError: Too few rounds, or a promise about a contender that does not run.
    """
    names = list(benchmark.contenders)
    absent = sorted({OURS, *benchmark.promises} - set(names))
    if absent or benchmark.rounds < MINIMUM_ROUNDS:
        raise ValueError(f"{benchmark.name}: needs {MINIMUM_ROUNDS} rounds and the contenders {absent}")
    benchmark.agree({name: run() for name, run in benchmark.contenders.items()})
    repeats = _repeats(benchmark.contenders, clock)
    found = Measurement({name: [] for name in names})
    for number in range(benchmark.rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found.seconds[name].append(_time(benchmark.contenders[name], repeats[name], clock))
    return found


def _repeats(contenders: Mapping[str, Callable[[], Any]], clock: Callable[[], float]) -> dict[str, int]:
    """Calls in a row that make each contender take about as long as the slowest."""
    seconds = {name: _time(run, 1, clock) for name, run in contenders.items()}
    slowest = max(seconds.values())
    return {
        name: min(MOST_REPEATS, round(slowest / taken)) if taken > 0 else MOST_REPEATS
        for name, taken in seconds.items()
    }


def _time(run: Callable[[], Any], repeats: int, clock: Callable[[], float]) -> float:
    """Seconds a call."""
    gc.collect()
    started = clock()
    for _ in range(repeats):
        run()
    return (clock() - started) / repeats


def outcomes(benchmark: Benchmark, measurement: Measurement) -> list[Outcome]:
    """Return every promise of a benchmark beside what was measured."""
    ratios = [
        Outcome(f"{benchmark.name}/{name}", measurement.ratio(name), target)
        for name, target in benchmark.promises.items()
    ]
    return ratios + [
        Outcome(f"{benchmark.name}/{name}", limit.find(measurement), limit.target)
        for name, limit in benchmark.limits.items()
    ]


def table(benchmark: Benchmark, measurement: Measurement) -> list[str]:
    """Return a Markdown table of the contenders: median milliseconds and times ours."""
    ours = measurement.median(OURS)
    rows = [
        f"| {name} | {1000 * measurement.median(name):.1f} | {measurement.median(name) / ours:.2f} |"
        for name in benchmark.contenders
    ]
    return [f"### {benchmark.name}", "", "| contender | median ms | times ours |", "| --- | --- | --- |", *rows, ""]


def status(found: Sequence[Outcome]) -> int:
    """Return the exit status: 0 when every promise is kept, 1 otherwise."""
    return 0 if all(outcome.is_kept for outcome in found) else 1
