"""From validation errors to one readable line a mistake: file, key, what was found, what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from trademl_assets.configuration.contradictions import ContradictionsError
from trademl_assets.foundation.choice import flatten

REMEDIES: Mapping[str, str] = {
    "extra_forbidden": "remove the key or correct its spelling",
    "missing": "add the key",
    "contradiction": "make the two sections agree",
    "missing_variable": "export the variable before starting",
    "secret_as_value": "write ${NAME} and export the variable before starting",
}


@dataclass(frozen=True)
class Mistake:
    """One mistake in the configuration.

    Attributes:
        file: File name, for example `grid.yaml`.
        key: Dotted place inside the file.
        problem: What is wrong.
        found: What was found, as text, empty where nothing was.
        remedy: What to do.
    """

    file: str
    key: str
    problem: str
    found: str
    remedy: str

    def line(self) -> str:
        """Return the mistake as one line."""
        place = f"{self.file}: {self.key}" if self.key else self.file
        found = f" (found {self.found})" if self.found else ""
        return f"{place}: {self.problem}{found} -> {self.remedy}"


def explain(error: ValidationError, prefix: tuple[str | int, ...] = ()) -> Iterator[Mistake]:
    """Yield every mistake of a validation, those inside plug-in sections included.

    Args:
        error: The validation's error; the first part of each place is the section, which is the file's stem.
        prefix: Place of the validated object inside the whole.

    Yields:
        Mistakes in the order of the error.
    """
    for place, detail in flatten(error, prefix):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, ContradictionsError):
            for keys, problem in cause.found:
                yield _mistake((*prefix, *keys), "contradiction", problem, {})
            continue
        yield _mistake(place, detail["type"], detail["msg"], detail["input"])


def _mistake(place: tuple[str | int, ...], kind: str, message: str, found: Any) -> Mistake:
    file = f"{place[0]}.yaml" if place else "configuration"
    key = ".".join(str(part) for part in place[1:])
    problem = {"extra_forbidden": "unknown key", "missing": "required key is missing"}.get(
        kind, message.removeprefix("Value error, ")
    )
    if kind == "missing" and len(place) == 1:
        return Mistake(file, "", "required file is missing", "", "add the file")
    if kind == "extra_forbidden" and len(place) == 1:
        return Mistake(file, "", "unknown file", "", "remove the file or correct its name")
    shown = "" if kind in {"missing", "extra_forbidden"} or isinstance(found, dict) else _short(found)
    return Mistake(file, key, problem, shown, REMEDIES.get(kind, "give a value that fits"))


def _short(found: Any, limit: int = 60) -> str:
    text = repr(found)
    return text if len(text) <= limit else text[: limit - 1] + "…"
