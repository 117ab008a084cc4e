"""The console shows the platform's lines from the level that was asked for, each once."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.log import PACKAGE, configure_logging

OURS, OTHERS = logging.getLogger(f"{PACKAGE}.some.module"), logging.getLogger("another_library")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, package = logging.getLogger(), logging.getLogger(PACKAGE)
    before = (root.handlers[:], root.level, package.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    package.setLevel(before[2])


def test_own_lines_are_shown_from_the_level_those_of_others_from_warning(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    OURS.debug("own detail")
    OURS.info("own line of %s", "2024-01-01")
    OTHERS.info("foreign line")
    OTHERS.warning("foreign warning")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [part for part in ("own detail", "own line of 2024-01-01", "foreign line") if part in shown.err] == [
        "own line of 2024-01-01"
    ]
    assert "INFO" in shown.err
    assert "foreign warning" in shown.err


def test_configuring_again_changes_the_level_and_repeats_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    configure_logging("DEBUG")
    OURS.debug("own detail")
    assert capsys.readouterr().err.count("own detail") == 1


def test_brackets_in_a_message_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    OURS.info("days [2024-01-01, 2024-01-02) of [bold]BTC[/bold]")
    assert "[bold]BTC[/bold]" in capsys.readouterr().err


def test_a_filter_leaves_records_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", lambda record: "secretive" not in record.getMessage())
    OURS.info("secretive line")
    OURS.info("open line")
    shown = capsys.readouterr().err
    assert "secretive" not in shown
    assert "open line" in shown


@pytest.mark.parametrize("level", ["info", "LOUD", ""])
def test_an_unknown_level_is_refused_and_changes_nothing(level: str) -> None:
    before = logging.getLogger().handlers[:]
    with pytest.raises(ConfigError, match="choose one of DEBUG, INFO"):
        configure_logging(level)
    assert logging.getLogger().handlers == before


def test_importing_configures_nothing() -> None:
    program = (
        "import logging, trademl_assets.foundation.log; "
        "assert not logging.getLogger().handlers and not logging.getLogger('trademl_assets').level"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
