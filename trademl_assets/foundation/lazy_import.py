"""Modules that are imported when something of them is first asked for: what is slow to import delays nobody else."""

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for a module until then; type checkers are shown the import itself.

    Args:
        name: Full name of the module.
    """

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the module."""
        if name.startswith("__"):  # what asks about a module shall not import it
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)
