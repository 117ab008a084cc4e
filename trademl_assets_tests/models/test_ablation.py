"""An ablation follows its model in everything but what is stated, and reads no more than what is left."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from trademl_assets.models.ablation import AblationParameters
from trademl_assets.models.parameters import DualChannelParameters
from trademl_assets.models.registry import ModelParameters
from trademl_assets.sources.contract import Reading
from trademl_assets_tests.models.examples import stated


def model(**changes: Any) -> ModelParameters:
    return ModelParameters.model_validate_json(json.dumps({"family": "dual_channel", "parameters": stated(**changes)}))


def ablation(parameters: dict[str, Any]) -> AblationParameters:
    return AblationParameters.model_validate_json(json.dumps({"of": "dual_channel", "parameters": parameters}))


@pytest.mark.parametrize(
    ("taken_away", "same_as"),
    [
        ({"book": None}, {"book": None}),
        ({"book": {"slots": 2}}, {"book__slots": 2}),
        ({"instruments": ["FOLAUSDT"]}, {"instruments": ["FOLAUSDT"]}),
        ({"long_term": None, "history": {"layers": 2}}, {"long_term": None, "history__layers": 2}),
    ],
)
def test_it_is_the_model_with_nothing_but_what_is_stated_replaced(taken_away, same_as):
    assert ablation(taken_away).applied_to(model()) == model(**same_as)
    assert ablation(taken_away).applied_to(model(history__width=5)) == model(history__width=5, **same_as)


def test_what_does_not_fit_the_family_is_refused():
    with pytest.raises(ValidationError, match="unknown"):
        ablation({"unknown": 1}).applied_to(model())
    with pytest.raises(ValidationError, match="context is needed"):
        ablation({"long_term": None, "clock": False}).applied_to(model())
    with pytest.raises(ValidationError, match="at least 1"):
        ablation({})


def test_it_takes_over_a_searchs_choices_but_for_what_it_replaces():
    found = {
        "model.history.width": 32,
        "model.book.slots_per_band": 5,
        "model.books": 1,
        "training.optimiser.learning_rate": 0.01,
    }
    without_books = ablation({"book": None}).follows(found)
    assert without_books == {name: value for name, value in found.items() if name != "model.book.slots_per_band"}
    top = ablation({"book": {"slots": 5}}).follows({**found, "model.book.slots": 50, "model.book": {}})
    assert top == found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Reading(("A", "B"), returns=True, book_slots=None, long_term=True)),
        ({"book__slots": 4, "instruments": ["B"]}, Reading(("B",), returns=True, book_slots=4, long_term=True)),
        ({"book": None, "long_term": None}, Reading(("A", "B"), returns=True, book_slots=0, long_term=False)),
        ({"price": False}, Reading(("A", "B"), returns=False, book_slots=None, long_term=True)),
    ],
)
def test_a_model_says_what_it_reads(changes, expected):
    parameters = model(**changes).parameters
    assert isinstance(parameters, DualChannelParameters)
    assert parameters.reading(["A", "B"]) == expected
