"""Validation of plug-in sections: `kind: <name>` with `parameters:` of the model that the plug-in brings."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters


class NestedMistakes(ValueError):  # noqa: N818 -- pydantic expects a ValueError; it carries mistakes rather than being one
    """Mistakes found inside a plug-in's own parameters, kept with their places."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(str(error))
        self.error = error


def validate_parameters(model: type[Parameters], value: Any, info: ValidationInfo) -> Parameters:
    """Validate `value` as parameters of a plug-in, in strict mode and under the context of the whole validation.

    Args:
        model: Parameter model of the plug-in.
        value: The section as read, or already validated parameters.
        info: Validation under way.

    Returns:
        The validated parameters.

    Raises:
        NestedMistakes: With every mistake inside the section.
        ValueError: The value is no section at all.
    """
    if isinstance(value, model):
        return value
    if isinstance(value, Parameters):
        raise ValueError(f"a {type(value).__name__} where parameters of {model.__name__} belong")  # noqa: TRY004 -- pydantic expects a ValueError
    try:
        return model.model_validate_json(json.dumps(value), context=info.context)
    except ValidationError as error:
        raise NestedMistakes(error) from error


def flatten(
    error: ValidationError, place: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], ErrorDetails]]:
    """Yield place and details of every mistake of a validation in order, those inside plug-in sections included.

    Args:
        error: The validation's error.
        place: Place of the validated object inside the whole.
    """
    for detail in error.errors():
        where, cause = (*place, *detail["loc"]), detail.get("ctx", {}).get("error")
        if isinstance(cause, NestedMistakes):
            yield from flatten(cause.error, where)
        else:
            yield where, detail


def known(lookup: Callable[[str], object]) -> Callable[[str], str]:
    """Make a validator of a plug-in's name, so that an unknown one is a mistake at its own place.

    Args:
        lookup: From the name to the plug-in; raises ConfigError, which lists what there is, on an unknown name.
    """

    def validate(name: str) -> str:
        try:
            lookup(name)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return name

    return validate


def chosen(name_key: str, lookup: Callable[[str], type[Parameters]]) -> Callable[[Any, ValidationInfo], Parameters]:
    """Make a plain validator of a field `parameters` whose model is chosen by the sibling field `name_key`.

    Args:
        name_key: Field that names the plug-in.
        lookup: From the name to the plug-in's parameter model; raises ConfigError on an unknown name.

    Returns:
        The validator.
    """

    def validate(value: Any, info: ValidationInfo) -> Parameters:
        if name_key not in info.data:
            raise ValueError(f"cannot be read before {name_key} is right")
        return validate_parameters(lookup(info.data[name_key]), value, info)

    return validate
