"""Which code a plug-in of another package has: what it states itself, or the hash of the sources it was loaded from.

The platform's own code is versioned by hand, where a change of it changes what is made; nobody does so for a plug-in.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec, resolve_name
from pathlib import Path

OWN_PACKAGE = "trademl_assets"
_DIGITS = 12


def plugin_code(plugin: object) -> str:
    """Return what tells one version of a plug-in's code from another; empty for the platform's own.

    Args:
        plugin: A class or function, or an object that names its modules as `code_modules`. A text or number that it
            states as `version` is taken as it is, and its sources then do not count.
    """
    modules = _foreign(plugin)
    if not modules:
        return ""
    stated = getattr(plugin, "version", None)
    return f"v{stated}" if isinstance(stated, str | int) else source_digest(modules)


def plugin_sources(plugin: object) -> str:
    """Return the hash of a plug-in's sources, whatever version it states; empty for the platform's own."""
    modules = _foreign(plugin)
    return source_digest(modules) if modules else ""


def source_digest(modules: Iterable[str]) -> str:
    """Return the hash of the sources of modules, and of those of their own top-level package that they import.

    Imports are followed as they are written, not by running them. A module without a file, such as one typed into an
    interpreter, counts by its name alone.
    """
    named = list(modules)
    digest = hashlib.sha256("\n".join(named).encode())
    for name, source in sorted(_sources(named).items()):
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()[:_DIGITS]


def _foreign(plugin: object) -> list[str]:
    return sorted(module for module in _modules(plugin) if _top(module) != OWN_PACKAGE)


def _modules(plugin: object) -> tuple[str, ...]:
    if isinstance(plugin, type) or not hasattr(plugin, "code_modules"):
        return (str(plugin.__module__),)
    named: tuple[str, ...] = plugin.code_modules
    return named


def _sources(modules: Iterable[str]) -> dict[str, bytes]:
    waiting = list(modules)
    packages = {_top(name) for name in waiting}
    found: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        file = None if name in found or _top(name) not in packages else _file(name)
        if file is None:
            continue
        found[name] = file.read_bytes()
        waiting += [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)]
        waiting += _imported(name, found[name], is_package=file.stem == "__init__")
    return found


def _imported(name: str, source: bytes, *, is_package: bool) -> Iterator[str]:
    """Yield everything that a module may import, names of modules and of what lies in them alike."""
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _file(name: str) -> Path | None:
    """Return the Python file of a module, None where it is no module or has none."""
    origin = getattr(sys.modules.get(name), "__file__", None)
    if origin is None:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        origin = None if spec is None else spec.origin
    file = Path(origin or "")
    return file if file.suffix == ".py" and file.is_file() else None


def _top(name: str) -> str:
    return name.partition(".")[0]
