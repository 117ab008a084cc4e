"""Text that may name environment variables, such as a path: expanded where it is used, remembered as it was written.

The reference (`${NAME}/books`), not its expansion, enters dumps and fingerprints,
so a moved folder changes no artifact.
"""

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class EnvironmentText(str):
    """A string whose `${NAME}` parts were replaced from the environment given as validation context.

    Attributes:
        reference: The text as it stands in the configuration.
    """

    __slots__ = ("reference",)
    reference: str

    def __new__(cls, expanded: str, reference: str | None = None) -> Self:
        """Make the text from its expansion and, where it differs, its reference."""
        text = super().__new__(cls, expanded)
        text.reference = expanded if reference is None else reference
        return text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from_text = core_schema.with_info_after_validator_function(cls._from_text, core_schema.str_schema(strict=True))
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda text: text.reference),
        )

    @classmethod
    def _from_text(cls, text: str, info: ValidationInfo) -> "EnvironmentText":
        return expand(text, info.context or {})


def expand(text: str, context: Mapping[str, Any]) -> EnvironmentText:
    """Replace every `${NAME}` in `text`.

    Args:
        text: Text with zero or more references.
        context: Holds `environment`, a mapping of names to values, and optionally `used`, a set that collects the
            texts that were expanded.

    Returns:
        The expanded text, which remembers `text` as its reference.

    Raises:
        PydanticCustomError: A variable is missing or empty; inside a validation it becomes one readable mistake.
    """
    environment: Mapping[str, str] = context.get("environment", {})
    missing = [name for name in VARIABLE.findall(text) if not environment.get(name)]
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        raise PydanticCustomError("missing_variable", "environment variable {names} is not set", {"names": names})
    if "used" in context:
        context["used"].add(text)
    return EnvironmentText(VARIABLE.sub(lambda match: environment[match.group(1)], text), text)
