"""Ablations: a configured model once more with something taken away, everything else following it."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, JsonValue

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.models.registry import ModelParameters

Path = tuple[str, ...]


class AblationParameters(Parameters):
    """A model that differs from another by what is stated, and cannot drift away from it.

    Attributes:
        of: The model that it follows.
        parameters: What replaces parameters of that model, as they are written there; mappings are merged.
    """

    of: str
    parameters: Annotated[dict[str, JsonValue], Field(min_length=1)]

    def applied_to(self, model: ModelParameters) -> ModelParameters:
        """Return the model with the replacements.

        Raises:
            ValidationError: They do not fit its family.
        """
        values = model.model_dump(mode="json")
        replaced = {**values, "parameters": _merged(values["parameters"], self.parameters)}
        return ModelParameters.model_validate_json(json.dumps(replaced))

    def follows(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of a search's choices for the model that the ablation takes over.

        Args:
            overrides: By path, such as `model.history.width`; what lies within, at or above a replaced parameter is
                left to the ablation.
        """
        replaced = [("model", *path) for path in _leaves(self.parameters)]
        return {path: value for path, value in overrides.items() if not _touches(tuple(path.split(".")), replaced)}


def _touches(path: Path, replaced: list[Path]) -> bool:
    return any(path[: len(each)] == each[: len(path)] for each in replaced)


def _leaves(values: Mapping[str, Any], place: Path = ()) -> Iterator[Path]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*place, name))
        else:
            yield (*place, name)


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return {**base, **{name: _merged(base.get(name), value) for name, value in changes.items()}}
