"""Lines of the console carry their facts; progress is said often enough and not too often."""

import io
import itertools
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from rich.console import Console

from trademl_assets.foundation.log import ProgressReporter, console_handler, facts, readable_seconds, with_progress


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def logged(message: str, level: int, *, terminal: bool, **values: object) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=terminal, _environ={"TERM": "xterm-256color"})
    logger = logging.Logger("test", level=logging.INFO)  # noqa: LOG001 -- outside the hierarchy, so that no other handler writes
    logger.addHandler(console_handler(console))
    logger.log(level, message, extra=facts(**values))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_facts_follow_the_message() -> None:
    line = logged("committed", logging.INFO, terminal=False, asset="aligned_grid", rows=8640, share=1 / 3, why="a b")
    assert re.search(r"INFO +committed asset=aligned_grid rows=8640 share=0\.333333 why='a b'", line)


def test_levels_have_colours_of_their_own_on_a_terminal() -> None:
    lines = {level: logged("x", level, terminal=True) for level in (logging.INFO, logging.WARNING, logging.ERROR)}
    colours = {re.search(r"(\x1b\[[0-9;]+m)(INFO|WARNING|ERROR)", line).group(1) for line in lines.values()}  # type: ignore[union-attr]  # a missing match fails the test
    assert len(colours) == 3


def test_nothing_but_text_reaches_a_file() -> None:
    assert "\x1b" not in logged("done", logging.ERROR, terminal=False, day="2024-01-01")


def test_brackets_in_a_message_are_no_markup() -> None:
    assert "[bold]2024-01-01|BTCUSDT" in logged("[bold]2024-01-01|BTCUSDT", logging.INFO, terminal=False)


def test_secrets_stay_hidden_among_the_facts() -> None:
    assert "hunter2" not in logged("connected", logging.INFO, terminal=False, password=SecretStr("hunter2"))


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


def test_a_loop_says_when_it_is_complete() -> None:
    clock, lines = Clock(), list[str]()
    seen = []
    for item in with_progress("abc", "letters", lines.append, every_seconds=60, clock=clock):
        seen.append(item)
        clock.now += 1
    assert seen == ["a", "b", "c"]
    assert lines == ["letters: 3 of 3 in 3.0 s, 1.0/s"]


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
