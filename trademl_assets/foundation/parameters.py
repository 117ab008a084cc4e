"""Typed parameters: strict, frozen, unknown keys refused, every value written in YAML; and references to secrets."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

from trademl_assets.foundation.errors import ConfigError


class Parameters(BaseModel):
    """Parameters of one part of the platform.

    Validate from JSON text, so that lists, dates and ISO-8601 durations are read strictly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of the canonical JSON; secrets and expanded texts enter as their references."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def combine_fingerprints(*parts: str) -> str:
    """Return the sha256 (hex) of several fingerprints in their order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class SecretReference:
    """The name of an environment variable that holds a secret, written `${NAME}`.

    The value is looked up only at its use.
    """

    PATTERN = re.compile(r"^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$")

    def __init__(self, reference: str) -> None:
        match = self.PATTERN.match(reference)
        if match is None:
            raise ValueError("a secret is written as a reference ${NAME}, never as its value")
        self.name: str = match.group(1)

    def resolve(self, environment: Mapping[str, str]) -> SecretStr:
        """Return the secret.

        Raises:
            ConfigError: The variable is not set.
        """
        value = environment.get(self.name, "")
        if not value:
            raise ConfigError(f"environment variable {self.name} is not set -> export it with the secret")
        return SecretStr(value)

    def __repr__(self) -> str:
        return f"SecretReference(${{{self.name}}})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretReference) and other.name == self.name

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from_text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema(strict=True))
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_text]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda secret: f"${{{secret.name}}}"),
        )
