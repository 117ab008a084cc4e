"""The code of a plug-in is what it states, or the sources it is loaded from, as far as they are its own package's."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from trademl_assets.datasets.price_classes import PriceClasses
from trademl_assets.foundation.plugin_code import plugin_code, plugin_sources
from trademl_assets.foundation.registry import Registry
from trademl_assets.models.registry import MODELS, ModelFamily
from trademl_assets.scoring.calibration_methods import METHODS

SOURCES = {
    "__init__.py": "",
    "labels.py": "import json\nfrom ringed.arithmetic import double\nfrom . import shared\n\nclass Plugin:\n    pass\n",
    "arithmetic.py": "from .deep.constants import TWO\n\n\ndef double(x):\n    return TWO * x\n",
    "shared.py": "import ringed_neighbour\n",
    "unrelated.py": "",
    "deep/__init__.py": "",
    "deep/constants.py": "TWO = 2\n",
    "heavy.py": "raise AssertionError('it is not to be imported')\n",
}


@pytest.fixture
def ringed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of another owner, beside a module that is not its own."""
    for name, text in SOURCES.items():
        file = tmp_path / "ringed" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (tmp_path / "ringed_neighbour.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "ringed"
    for name in [name for name in sys.modules if name.split(".")[0] in {"ringed", "ringed_neighbour"}]:
        del sys.modules[name]


def plugin() -> Any:
    return import_module("ringed.labels").Plugin


def test_our_own_plug_ins_are_versioned_by_hand():
    assert plugin_code(PriceClasses) == plugin_sources(PriceClasses) == ""
    assert {registry.code(name) for registry in (MODELS, METHODS) for name in registry.names()} == {""}


@pytest.mark.parametrize("file", ["__init__.py", "labels.py", "arithmetic.py", "shared.py", "deep/constants.py"])
def test_a_change_of_what_a_plug_in_imports_of_its_own_is_another_code(ringed: Path, file: str):
    before = plugin_code(plugin())
    assert before == plugin_code(plugin())
    (ringed / file).write_text(SOURCES[file] + "THREE = 3\n")
    assert plugin_code(plugin()) != before


@pytest.mark.parametrize("file", ["unrelated.py", "heavy.py", "../ringed_neighbour.py"])
def test_what_it_does_not_import_or_does_not_own_changes_nothing(ringed: Path, file: str):
    before = plugin_code(plugin())
    (ringed / file).write_text("THREE = 3\n")
    assert plugin_code(plugin()) == before


def test_a_stated_version_counts_in_place_of_the_sources_but_not_for_an_audit(ringed: Path):
    (ringed / "labels.py").write_text(SOURCES["labels.py"] + "    version = 7\n")
    before = plugin_sources(plugin())
    assert plugin_code(plugin()) == "v7"
    (ringed / "arithmetic.py").write_text("def double(x):\n    return x + x\n")
    assert plugin_code(plugin()) == "v7"
    assert plugin_sources(plugin()) != before


def test_a_family_counts_its_builders_module_without_importing_it(ringed: Path):
    family = ModelFamily(plugin(), "ringed.heavy:build")
    before = plugin_code(family)
    (ringed / "heavy.py").write_text("raise AssertionError('still not')\n")
    assert plugin_code(family) != before
    assert plugin_code(ModelFamily(plugin(), "ringed.heavy:build", version="2")) == "v2"


def test_a_registry_knows_the_code_that_was_loaded_not_what_the_file_says_since(ringed: Path):
    registry: Registry[Any] = Registry("thing", "trademl_assets.test_things")
    registry.register("ringed")(plugin())
    loaded = registry.code("ringed")
    (ringed / "labels.py").write_text("")
    assert registry.code("ringed") == loaded
    assert plugin_code(plugin()) != loaded


def test_a_module_without_a_file_counts_by_its_name():
    typed = type("Typed", (), {"__module__": "a_module_that_was_typed"})
    assert plugin_code(typed) == plugin_code(typed) != ""
