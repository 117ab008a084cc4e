"""A plug-in's section is validated by the plug-in's own model, and its mistakes keep their places."""

from typing import Any

import pytest
from pydantic import SerializeAsAny, ValidationError, field_validator

from trademl_assets.foundation.choice import NestedMistakes, chosen
from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.foundation.registry import Registry


class Files(Parameters):
    folder: EnvironmentText
    depth: int


class Nothing(Parameters):
    pass


KINDS: Registry[type[Parameters]] = Registry("kind", "trademl_assets.test_kinds")
KINDS.register("files")(Files)
KINDS.register("nothing")(Nothing)


class Choice(Parameters):
    kind: str
    parameters: SerializeAsAny[Parameters]

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        try:
            KINDS.get(kind)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return kind

    _fit = field_validator("parameters", mode="plain")(chosen("kind", KINDS.get))


def choice(text: str) -> Choice:
    return Choice.model_validate_json(text, context={"environment": {"R": "/data"}})


def mistakes(text: str) -> list[Any]:
    with pytest.raises(ValidationError) as caught:
        choice(text)
    return caught.value.errors()


def test_the_name_chooses_the_model() -> None:
    read = choice('{"kind": "files", "parameters": {"folder": "${R}/x", "depth": 3}}').parameters
    assert read == Files(folder=EnvironmentText("/data/x"), depth=3)
    assert isinstance(choice('{"kind": "nothing", "parameters": {}}').parameters, Nothing)


def test_the_chosen_parameters_enter_dump_and_fingerprint_whole() -> None:
    three, four = (choice(f'{{"kind": "files", "parameters": {{"folder": "${{R}}", "depth": {n}}}}}') for n in (3, 4))
    assert three.model_dump(mode="json")["parameters"] == {"folder": "${R}", "depth": 3}
    assert three.fingerprint() != four.fingerprint()


def test_all_mistakes_inside_a_section_are_kept_with_their_places() -> None:
    (mistake,) = mistakes('{"kind": "files", "parameters": {"folder": "${GONE}", "depth": "3", "extra": 1}}')
    assert mistake["loc"] == ("parameters",)
    nested = mistake["ctx"]["error"]
    assert isinstance(nested, NestedMistakes)
    assert {(detail["loc"], detail["type"]) for detail in nested.error.errors()} == {
        (("folder",), "missing_variable"),
        (("depth",), "int_type"),
        (("extra",), "extra_forbidden"),
    }


def test_a_wrong_name_is_one_mistake_and_the_section_waits_for_it() -> None:
    found = mistakes('{"kind": "flies", "parameters": {"depth": 3}}')
    assert [detail["loc"] for detail in found] == [("kind",), ("parameters",)]
    assert "choose one of files, nothing" in found[0]["msg"]
    assert found[1]["msg"].endswith("cannot be read before kind is right")


def test_parameters_that_were_validated_before_are_taken_as_they_are() -> None:
    files = Files(folder=EnvironmentText("/data/x", "${R}/x"), depth=3)
    assert Choice(kind="files", parameters=files).parameters is files
    with pytest.raises(ValidationError):
        Choice(kind="files", parameters=5)


def test_parameters_of_another_plug_in_are_refused() -> None:
    with pytest.raises(ValidationError, match="a Nothing where parameters of Files belong"):
        Choice(kind="files", parameters=Nothing())
