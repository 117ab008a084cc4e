"""Reads a deployment's folder of YAML files and the environment; the only module that does either."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from trademl_assets.configuration.mistakes import explain
from trademl_assets.configuration.model import Configuration
from trademl_assets.foundation.environment_text import VARIABLE
from trademl_assets.foundation.errors import ConfigError

FOLDER_VARIABLE = "TRADEML_CONFIG"


class _StrictLoader(yaml.SafeLoader):
    """YAML 1.1 without its traps: repeated keys are refused, `1e-3` is a number, times of day stay text."""


_MERGE = "tag:yaml.org,2002:merge"


def _mapping_without_repeats(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == _MERGE:  # `<<: *other` takes over what is not stated here
            continue
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load_configuration(folder: Path, environment: Mapping[str, str]) -> Configuration:
    """Read and validate a whole deployment.

    Args:
        folder: Folder that holds one YAML file a section.
        environment: Variables that `${NAME}` may refer to.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: One line a mistake, each with file, key and remedy.
    """
    sections = _read_sections(folder)
    used: set[str] = set()
    try:
        configuration = Configuration.model_validate_json(
            json.dumps(sections, default=_as_text), context={"environment": environment, "used": used}
        )
    except ValidationError as error:
        lines = [mistake.line() for mistake in explain(error)]
        raise ConfigError("\n".join([f"{len(lines)} mistake(s) in {folder}:", *lines])) from None
    stray = [(place, text) for place, text in _references(sections) if text not in used]
    if stray:
        lines = [f"{place}: takes no ${{NAME}} (found {text!r}) -> write the value itself" for place, text in stray]
        raise ConfigError("\n".join([f"{len(lines)} mistake(s) in {folder}:", *lines]))
    return configuration


def configuration_from_environment() -> Configuration:
    """Read the deployment that the variable TRADEML_CONFIG names.

    Raises:
        ConfigError: The variable is missing, or the configuration has mistakes.
    """
    folder = os.environ.get(FOLDER_VARIABLE, "")
    if not folder:
        raise ConfigError(
            f"environment variable {FOLDER_VARIABLE} is not set "
            "-> export it as the folder of a deployment, for example configs/demo"
        )
    return load_configuration(Path(folder), os.environ)


def current_environment() -> Mapping[str, str]:
    """Return the process's environment, for resolving secrets and for what shares out the machine."""
    return os.environ


def _read_sections(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such configuration folder -> give a folder such as configs/demo")
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not files:
        raise ConfigError(f"{folder}: holds no YAML files -> add one file a section, as in configs/demo")
    return {file.stem: _read_file(file) for file in files}


def _read_file(file: Path) -> Any:
    try:
        return yaml.load(file.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 -- derives from SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ConfigError(f"{file.name}{where}: {problem} -> correct the YAML") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file.name}: is not UTF-8 text -> save it as UTF-8") from error


def _as_text(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise ConfigError(f"{value!r}: no such type in a configuration -> quote it")


def _references(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _references(item, (*place, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _references(item, (*place, str(number)))
    elif isinstance(value, str) and VARIABLE.search(value):
        yield f"{place[0]}.yaml: {'.'.join(place[1:])}", value
