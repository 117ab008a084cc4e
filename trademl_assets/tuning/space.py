"""The search space: dotted paths into a model's parameters, each with a range, and how a trial's values are put in."""

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import optuna
from pydantic import Field, model_validator

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters

Value = bool | int | float | str | None


class FloatRange(Parameters):
    """A real number in [low, high], searched on a logarithmic scale where `log`."""

    kind: Literal["float"]
    low: float
    high: float
    log: bool

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        _check_order(self.low, self.high, self.log)
        return self

    def suggest(self, trial: optuna.Trial, path: str) -> Value:
        """Draw a value for a trial."""
        return trial.suggest_float(path, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether `value` lies in the range."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


class IntRange(Parameters):
    """A whole number in [low, high], searched on a logarithmic scale where `log`."""

    kind: Literal["int"]
    low: int
    high: int
    log: bool

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        _check_order(self.low, self.high, self.log)
        return self

    def suggest(self, trial: optuna.Trial, path: str) -> Value:
        """Draw a value for a trial."""
        return trial.suggest_int(path, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether `value` lies in the range."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


class CategoricalRange(Parameters):
    """One of the listed values."""

    kind: Literal["categorical"]
    choices: tuple[Value, ...] = Field(min_length=1)

    def suggest(self, trial: optuna.Trial, path: str) -> Value:
        """Draw a value for a trial."""
        return trial.suggest_categorical(path, self.choices)

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of the choices."""
        return any(type(value) is type(choice) and value == choice for choice in self.choices)


SearchRange = Annotated[FloatRange | IntRange | CategoricalRange, Field(discriminator="kind")]


def apply_overrides(model: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of nested parameters with the values at the given dotted paths replaced.

    Args:
        model: Nested parameters as plain values; lists are entered by position ("blocks.0.width").
        overrides: Dotted path -> value.

    Raises:
        ConfigError: A path names nothing that is there.
    """
    changed = copy.deepcopy(dict(model))
    for path, value in overrides.items():
        holder, key = _find(changed, path)
        holder[key] = value
    return changed


def read_defaults(model: Mapping[str, Any], space: Mapping[str, SearchRange]) -> dict[str, Any]:
    """Return the configured value of every searched path.

    Raises:
        ConfigError: A path names nothing, or its configured value lies outside its range, so that the search could not
            start from it.
    """
    defaults = {}
    for path, searched in space.items():
        holder, key = _find(model, path)
        value = holder[key]
        if not searched.holds(value):
            raise ConfigError(
                f"space: {path} is configured as {value!r}, outside its search range {searched.model_dump(mode='json')}"
                " -> widen the range or change the configured value"
            )
        defaults[path] = float(value) if isinstance(searched, FloatRange) else value
    return defaults


def _find(nested: Any, path: str) -> tuple[Any, Any]:
    """Return the holder and the key (or position) of a dotted path."""
    holder: Any = None
    key: Any = None
    here = nested
    for part in path.split("."):
        holder, key = here, part
        if isinstance(here, list | tuple) and part.isdigit() and int(part) < len(here):
            key = int(part)
        elif not isinstance(here, Mapping) or part not in here:
            known = ", ".join(map(str, here)) if isinstance(here, Mapping) else f"no key, but {here!r}"
            raise ConfigError(f"space: path {path} names nothing at {part!r}; known here: {known} -> correct the path")
        here = here[key]
    return holder, key


def _check_order(low: float, high: float, log: bool) -> None:  # noqa: FBT001 -- the three fields of a range
    if low >= high:
        raise ValueError(f"low ({low}) must lie below high ({high})")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range must lie above 0, low is {low}")
