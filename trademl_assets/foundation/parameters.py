"""Typed parameters: strict, frozen, unknown keys refused, every value written in YAML; and references to secrets."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, SecretStr, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from trademl_assets.foundation.errors import ConfigError

_NO_REFERENCE = "a secret is written as a reference ${NAME}, never as its value"


class Parameters(BaseModel):
    """Parameters of one part of the platform.

    Validate from JSON text, so that lists, dates and ISO-8601 durations are read strictly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of the canonical JSON; secrets and expanded texts enter as their references."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def combine_fingerprints(*parts: str) -> str:
    """Return the sha256 (hex) of several fingerprints in their order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class _Withheld:
    """Stands in error messages where a secret may have been written by mistake."""

    def __repr__(self) -> str:
        return "a value that is not shown"


class SecretReference:
    """The name of an environment variable that holds a secret, written `${NAME}`.

    The value is looked up only at its use, in the environment that the configuration was read with. Copies and
    serialised forms hold the name alone.

    Args:
        reference: `${NAME}`.
        environment: Where the value is looked up; None leaves that to `resolve`.
    """

    PATTERN = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

    def __init__(self, reference: str, environment: Mapping[str, str] | None = None) -> None:
        match = self.PATTERN.fullmatch(reference)
        if match is None:
            raise ValueError(_NO_REFERENCE)
        self.name: str = match.group(1)
        self._environment = environment

    def resolve(self, environment: Mapping[str, str] | None = None) -> SecretStr:
        """Return the secret.

        Args:
            environment: Where to look it up; None is the environment that the configuration was read with.

        Raises:
            ConfigError: The variable is not set.
        """
        held = self._environment if environment is None else environment
        value = (held or {}).get(self.name, "")
        if not value:
            raise ConfigError(f"environment variable {self.name} is not set -> export it with the secret")
        return SecretStr(value)

    def __repr__(self) -> str:
        return f"SecretReference(${{{self.name}}})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretReference) and other.name == self.name

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __deepcopy__(self, memo: dict[int, Any]) -> "SecretReference":
        return self

    def __reduce__(self) -> tuple[type["SecretReference"], tuple[str]]:
        return type(self), (f"${{{self.name}}}",)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # The first step puts a stand-in before whatever is no reference, so that no error of the second can show it.
        return core_schema.chain_schema(
            [
                core_schema.with_info_plain_validator_function(cls._read),
                core_schema.custom_error_schema(
                    core_schema.is_instance_schema(cls),
                    custom_error_type="secret_as_value",
                    custom_error_message=_NO_REFERENCE,
                ),
            ],
            serialization=core_schema.plain_serializer_function_ser_schema(lambda secret: f"${{{secret.name}}}"),
        )

    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> "SecretReference | _Withheld":
        if isinstance(value, SecretReference):
            return value
        if isinstance(value, str) and cls.PATTERN.fullmatch(value):
            context: Mapping[str, Any] = info.context or {}
            if "used" in context:
                context["used"].add(value)
            return cls(value, context.get("environment"))
        return _Withheld()
