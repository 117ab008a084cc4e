"""Progress is said often enough and not too often."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.foundation.progress import ProgressReporter, readable_seconds


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_lines_tell_count_rate_and_remaining_time() -> None:
    clock, lines = Clock(), list[str]()
    reporter = ProgressReporter(10, "days", lines.append, every_seconds=5, clock=clock)
    for _ in range(10):
        clock.now += 2
        reporter.advance()
    assert lines == [
        "days: 3 of 10, 2.0 s each, about 14 s left",
        "days: 6 of 10, 2.0 s each, about 8.0 s left",
        "days: 9 of 10, 2.0 s each, about 2.0 s left",
        "days: 10 of 10 in 20 s, 2.0 s each",
    ]


def test_fast_work_is_told_by_its_rate() -> None:
    clock, lines = Clock(), list[str]()
    reporter = ProgressReporter(3_000, "rows", lines.append, every_seconds=1, clock=clock)
    clock.now += 2
    reporter.advance(2_500)
    assert lines == ["rows: 2500 of 3000, 1,250.0/s, about 0.4 s left"]


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 5)), max_size=40), st.integers(0, 60))
def test_lines_are_never_closer_than_asked_and_completion_is_said_once(
    steps: list[tuple[float, int]], total: int
) -> None:
    clock, lines = Clock(), list[tuple[float, str]]()
    reporter = ProgressReporter(total, "x", lambda line: lines.append((clock.now, line)), every_seconds=7, clock=clock)
    for seconds, units in steps:
        clock.now += seconds
        reporter.advance(units)
    done = sum(units for _, units in steps)
    complete = [line for _, line in lines if " in " in line]
    assert len(complete) == (total > 0 and done >= total)
    running = [at for at, line in lines if " in " not in line]
    assert all(later - earlier >= 7 for earlier, later in itertools.pairwise(running))
    assert reporter.done == done


def test_work_that_breaks_off_says_where() -> None:
    clock, lines = Clock(), list[str]()

    def work() -> None:
        with ProgressReporter(4, "days", lines.append, clock=clock) as reporter:
            reporter.advance()
            clock.now += 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert lines == ["days: 1 of 4, broken off after 3.0 s: ZeroDivisionError"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (8.21, "8.2 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3780, "1 h 3 min"),
    ],
)
def test_spans_are_readable(seconds: float, text: str) -> None:
    assert readable_seconds(seconds) == text
