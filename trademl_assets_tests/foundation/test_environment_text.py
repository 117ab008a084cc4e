"""Paths may name variables: used expanded, remembered as written."""

import copy
import json

import pytest
from pydantic import ValidationError

from trademl_assets.foundation.environment_text import EnvironmentText, expand
from trademl_assets.foundation.parameters import Parameters


class Folders(Parameters):
    root: EnvironmentText


def folders(text: object, environment: dict[str, str]) -> Folders:
    return Folders.model_validate_json(json.dumps({"root": text}), context={"environment": environment})


def test_it_is_used_expanded() -> None:
    root = folders("${HOME_OF}/books/${YEAR}", {"HOME_OF": "/data", "YEAR": "2024"}).root
    assert root == "/data/books/2024"
    assert isinstance(root, str)


def test_a_moved_folder_changes_neither_dump_nor_fingerprint() -> None:
    here, there = (folders("${R}/books", {"R": place}) for place in ("/here", "/there"))
    assert here.root != there.root
    assert here.model_dump_json() == there.model_dump_json() == '{"root":"${R}/books"}'
    assert here.fingerprint() == there.fingerprint()


def test_text_without_variables_stays_as_it_is() -> None:
    assert folders("/data/$5 {x}", {}).root == "/data/$5 {x}"
    assert folders("/data", {}).fingerprint() != folders("/date", {}).fingerprint()


def test_every_variable_that_is_missing_is_named_once() -> None:
    with pytest.raises(ValidationError) as caught:
        folders("${A}/${B}/${C}/${A}", {"B": "set", "C": ""})
    (mistake,) = caught.value.errors()
    assert (mistake["type"], mistake["loc"]) == ("missing_variable", ("root",))
    assert mistake["msg"] == "environment variable A, C is not set"


def test_a_value_is_never_expanded_again() -> None:
    assert folders("${A}", {"A": "${B}", "B": "x"}).root == "${B}"


def test_only_text_is_taken() -> None:
    with pytest.raises(ValidationError, match="string"):
        folders(5, {})


def test_a_copy_and_a_second_validation_remember_the_reference() -> None:
    read = folders("${R}/books", {"R": "/here"})
    assert copy.deepcopy(read).root.reference == "${R}/books"
    again = Folders(root=read.root)
    assert again.root.reference == "${R}/books"
    assert again.fingerprint() == read.fingerprint()


def test_expanded_texts_are_noted_for_whoever_looks_for_strays() -> None:
    used: set[str] = set()
    expand("${A}/x", {"environment": {"A": "1"}, "used": used})
    assert used == {"${A}/x"}
