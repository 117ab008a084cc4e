"""The search space: dotted paths into a model's parameters, each with a range, and how a trial's values are put in.

What Optuna stores of a trial are its choices (path -> plain value); what is put into the parameters are its overrides
(path -> JSON value). They differ where a choice is the name of an option.
"""

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import optuna
from pydantic import Field, model_validator

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters

Value = bool | int | float | str | None


class Condition(Parameters):
    """Where a path is searched: only in trials in which another searched path has one of these choices."""

    path: str
    choices: tuple[Value, ...] = Field(min_length=1)


class ConditionalRange(Parameters):
    """What all ranges have.

    Attributes:
        when: Where the path is searched; None searches it in every trial. Elsewhere the configured value, or that of
            the option chosen above it, stays.
    """

    when: Condition | None

    def override(self, choice: Any) -> Any:
        """Return what is put into the parameters for a choice."""
        return choice

    def choice_of(self, value: Any) -> Any:
        """Return the choice that puts in `value`."""
        return value

    def holds(self, value: Any) -> bool:
        """Whether some choice puts in `value`."""
        raise NotImplementedError

    def holds_choice(self, choice: Any) -> bool:
        """Whether `choice` is one of its choices."""
        return self.holds(choice)


class FloatRange(ConditionalRange):
    """A real number in [low, high], searched on a logarithmic scale where `log`."""

    kind: Literal["float"]
    low: float
    high: float
    log: bool

    def choice_of(self, value: Any) -> Any:
        """Return a number as Optuna keeps it."""
        return float(value)

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


class IntRange(ConditionalRange):
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


class CategoricalRange(ConditionalRange):
    """One of the listed values."""

    kind: Literal["categorical"]
    choices: tuple[Value, ...] = Field(min_length=1)

    def suggest(self, trial: optuna.Trial, path: str) -> Value:
        """Draw a value for a trial."""
        return trial.suggest_categorical(path, self.choices)

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of the choices."""
        return any(type(value) is type(choice) and value == choice for choice in self.choices)


class OptionsRange(ConditionalRange):
    """One of several named values of any shape, such as whole parts of a model; the trial is told by the name."""

    kind: Literal["options"]
    options: dict[str, Any] = Field(min_length=1)

    def suggest(self, trial: optuna.Trial, path: str) -> Value:
        """Draw the name of an option for a trial."""
        chosen: str = trial.suggest_categorical(path, tuple(self.options))
        return chosen

    def override(self, choice: Any) -> Any:
        """Return the value that goes by a name."""
        return self.options[choice]

    def choice_of(self, value: Any) -> Any:
        """Return the name that a value goes by."""
        return next(name for name, option in self.options.items() if option == value)

    def holds_choice(self, choice: Any) -> bool:
        """Whether an option goes by this name."""
        return choice in self.options

    def holds(self, value: Any) -> bool:
        """Whether `value` is that of one of the options."""
        return any(option == value for option in self.options.values())


SearchRange = Annotated[FloatRange | IntRange | CategoricalRange | OptionsRange, Field(discriminator="kind")]
Space = Mapping[str, SearchRange]


def refuse_unsound(space: Space) -> None:
    """Refuse conditions that cannot be judged when their path's turn comes.

    Raises:
        ValueError: A condition names a path that is not searched before it, or a choice that it never has.
    """
    seen: list[str] = []
    for path, searched in space.items():
        condition = searched.when
        if condition is not None:
            if condition.path not in seen:
                raise ValueError(
                    f"{path} depends on {condition.path!r}, which is not searched before it: write it first"
                )
            above = space[condition.path]
            known = _choices_of(above)
            if known is not None and not set(condition.choices) <= set(known):
                raise ValueError(
                    f"{path} depends on choices {condition.choices} of {condition.path}, which has {known}"
                )
        seen.append(path)


def _choices_of(searched: SearchRange) -> tuple[Value, ...] | None:
    if isinstance(searched, OptionsRange):
        return tuple(searched.options)
    return searched.choices if isinstance(searched, CategoricalRange) else None


def suggest_choices(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Draw a trial's choices, in the order of the space, leaving out paths whose condition does not hold."""
    choices: dict[str, Value] = {}
    for path, searched in space.items():
        if _applies(searched, choices):
            choices[path] = searched.suggest(trial, path)
    return choices


def overrides_of(choices: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return what is put into the parameters for a trial's choices, what lies deeper after what lies above it."""
    paths = sorted((path for path in space if path in choices), key=lambda path: (path.count("."), path))
    return {path: space[path].override(choices[path]) for path in paths}


def _applies(searched: SearchRange, choices: Mapping[str, Any]) -> bool:
    condition = searched.when
    return condition is None or (condition.path in choices and choices[condition.path] in condition.choices)


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
        holder[key] = copy.deepcopy(value)
    return changed


def read_defaults(model: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the choices that the configured values are, of every path that would be searched with them.

    Raises:
        ConfigError: A path names nothing, or its configured value lies outside its range, so that the search could not
            start from it.
    """
    defaults: dict[str, Any] = {}
    for path, searched in space.items():
        if not _applies(searched, defaults):
            continue
        holder, key = _find(model, path)
        value = holder[key]
        if not searched.holds(value):
            raise ConfigError(
                f"space: {path} is configured as {value!r}, outside its search range {searched.model_dump(mode='json')}"
                " -> widen the range or change the configured value"
            )
        defaults[path] = searched.choice_of(value)
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
