"""Plug-ins by name: registered in the package, or found through entry points of another package."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.plugin_code import plugin_code

T = TypeVar("T")


class Registry(Generic[T]):
    """Named plug-ins of one kind.

    Args:
        kind: What the plug-ins are, for messages.
        entry_point_group: Group under which other packages offer theirs.
    """

    def __init__(self, kind: str, entry_point_group: str) -> None:
        self.kind = kind
        self._group = entry_point_group
        self._known: dict[str, T] = {}
        self._code: dict[str, str] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its argument as `name`.

        Raises:
            ConfigError: Another plug-in has the name.
        """

        def add(plugin: T) -> T:
            if name in self._known and self._known[name] is not plugin:
                raise ConfigError(f"two plug-ins are called {self.kind} {name!r} -> rename one")
            self._known[name] = plugin
            self._code[name] = plugin_code(plugin)
            return plugin

        return add

    def get(self, name: str) -> T:
        """Return the plug-in called `name`.

        Raises:
            ConfigError: No such plug-in; the message lists those there are.
        """
        if name in self._known:
            return self._known[name]
        for entry in entry_points(group=self._group, name=name):
            return self.register(name)(entry.load())
        raise ConfigError(f"unknown {self.kind} {name!r} -> choose one of {', '.join(self.names())}")

    def code(self, name: str) -> str:
        """Return which code the plug-in called `name` was registered with: of `plugin_code`, empty for our own.

        Raises:
            ConfigError: No such plug-in.
        """
        self.get(name)
        return self._code[name]

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return tuple(sorted({*self._known, *(entry.name for entry in entry_points(group=self._group))}))
