"""Search spaces: paths into nested parameters, ranges, readable refusals."""

import json

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.tuning.space import (
    SearchRange,
    apply_overrides,
    overrides_of,
    read_defaults,
    refuse_unsound,
    suggest_choices,
)

MODEL = {"model": {"width": 16, "head": {"kind": "softmax"}}, "training": {"rates": [0.1, 0.2]}}


def _range(**values) -> SearchRange:
    return TypeAdapter(SearchRange).validate_json(json.dumps({"when": None, **values}), strict=True)


def test_overrides_replace_what_paths_name_and_leave_the_rest():
    changed = apply_overrides(MODEL, {"model.head.kind": "distribution", "training.rates.1": 0.5})
    assert changed == {"model": {"width": 16, "head": {"kind": "distribution"}}, "training": {"rates": [0.1, 0.5]}}
    assert MODEL["model"]["head"]["kind"] == "softmax"


@given(st.integers(), st.integers())
def test_the_last_override_counts_and_applying_twice_changes_nothing(first, second):
    once = apply_overrides(apply_overrides(MODEL, {"model.width": first}), {"model.width": second})
    assert once == apply_overrides(once, {"model.width": second})
    assert once["model"]["width"] == second


@pytest.mark.parametrize("path", ["model.depth", "nothing", "model.width.deeper", "training.rates.2", "model.head."])
def test_a_path_to_nothing_is_refused_by_name(path):
    with pytest.raises(ConfigError, match=path):
        apply_overrides(MODEL, {path: 1})


def test_a_configured_value_outside_its_range_is_refused():
    space = {"model.width": _range(kind="int", low=32, high=64, log=False)}
    with pytest.raises(ConfigError, match=r"model.width is configured as 16"):
        read_defaults(MODEL, space)


def test_an_option_puts_in_a_whole_part_and_what_lies_below_it_comes_after():
    heads = {"plain": {"kind": "softmax"}, "dense": {"kind": "mixture", "components": 2}}
    space = {
        "model.head": _range(kind="options", options=heads),
        "model.head.components": _range(
            kind="int", low=1, high=8, log=False, when={"path": "model.head", "choices": ["dense"]}
        ),
    }
    assert read_defaults(MODEL, space) == {"model.head": "plain"}
    chosen = overrides_of({"model.head.components": 5, "model.head": "dense"}, space)
    assert apply_overrides(MODEL, chosen)["model"]["head"] == {"kind": "mixture", "components": 5}
    assert heads["dense"]["components"] == 2
    trial = optuna.trial.FixedTrial({"model.head": "plain", "model.head.components": 3})
    assert suggest_choices(trial, space) == {"model.head": "plain"}
    trial = optuna.trial.FixedTrial({"model.head": "dense", "model.head.components": 3})
    assert suggest_choices(trial, space) == {"model.head": "dense", "model.head.components": 3}


@pytest.mark.parametrize("when", [{"path": "b", "choices": [1]}, {"path": "a", "choices": ["z"]}])
def test_a_condition_on_what_is_not_searched_before_is_refused(when):
    space = {"a": _range(kind="categorical", choices=["x", "y"]), "c": _range(kind="int", low=1, high=2, log=False)}
    refuse_unsound({**space, "d": _range(kind="categorical", choices=[1], when={"path": "a", "choices": ["x"]})})
    with pytest.raises(ValueError, match="depends on"):
        refuse_unsound({**space, "d": _range(kind="categorical", choices=[1], when=when)})


def test_choices_are_told_apart_by_type():
    choices = _range(kind="categorical", choices=[1, "a", None])
    assert [choices.holds(value) for value in (1, True, 1.0, "a", None)] == [True, False, False, True, True]


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "float", "low": 2, "high": 1, "log": False},
        {"kind": "int", "low": 0, "high": 8, "log": True},
        {"kind": "categorical", "choices": []},
        {"kind": "float", "low": 1, "high": 2},
        {"kind": "normal", "low": 1, "high": 2, "log": False},
    ],
)
def test_impossible_ranges_are_refused(values):
    with pytest.raises(ValidationError):
        _range(**values)
