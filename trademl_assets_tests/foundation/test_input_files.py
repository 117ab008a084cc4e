"""Files that something was made from are noted as they were, and told when they have changed."""

import os
import threading
from pathlib import Path

import pytest

from trademl_assets.foundation.input_files import changed_inputs, note_input, noting_inputs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    path.write_text("1,2\n")
    return path


def noted(*paths: Path) -> dict[str, list[int]]:
    with noting_inputs() as inputs:
        for path in paths:
            note_input(path)
    return inputs


def test_a_file_that_stays_as_it_was_has_not_changed(file: Path):
    inputs = noted(file)
    assert list(inputs) == [str(file)]
    assert list(changed_inputs(inputs)) == []


@pytest.mark.parametrize("change", ["size", "time"])
def test_another_size_or_another_time_is_a_change(file: Path, change: str):
    inputs = noted(file)
    state = file.stat()
    if change == "size":
        file.write_text("1,2\n3,4\n")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    else:
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert list(changed_inputs(inputs)) == [str(file)]


def test_a_file_that_was_looked_for_in_vain_has_changed_once_it_is_there(tmp_path: Path):
    path = tmp_path / "late.csv"
    inputs = noted(path)
    assert list(changed_inputs(inputs)) == []
    path.write_text("1,2\n")
    assert list(changed_inputs(inputs)) == [str(path)]


def test_a_file_that_is_gone_has_not_changed(file: Path):
    inputs = noted(file)
    file.unlink()
    assert list(changed_inputs(inputs)) == []


def test_a_file_that_changes_while_it_is_read_twice_counts_as_it_was_at_first(file: Path):
    with noting_inputs() as inputs:
        note_input(file)
        file.write_text("1,2\n3,4\n")
        note_input(file)
    assert list(changed_inputs(inputs)) == [str(file)]


def test_blocks_do_not_hear_of_each_other(file: Path):
    with noting_inputs() as outer:
        with noting_inputs() as inner:
            note_input(file)
        beside = threading.Thread(target=lambda: note_input(file))
        beside.start()
        beside.join()
    assert (list(inner), list(outer)) == ([str(file)], [])
    note_input(file)  # outside of a block nothing is collected
    assert (list(inner), list(outer)) == ([str(file)], [])
