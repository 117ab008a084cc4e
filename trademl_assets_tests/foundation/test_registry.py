"""Plug-ins are found by name, those of other installed packages included."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.registry import Registry

GROUP = "trademl_assets.test_shapes"


@pytest.fixture
def shapes() -> Registry[type]:
    registry: Registry[type] = Registry("shape", GROUP)
    registry.register("circle")(Circle)
    return registry


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another installed package, `polygons`, which offers shapes, one of them broken."""
    (tmp_path / "polygons.py").write_text("class Square:\n    corners = 4\n\nclass Circle:\n    pass\n")
    facts = tmp_path / "polygons-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: polygons\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        f"[{GROUP}]\nsquare = polygons:Square\nbroken = polygons:Missing\ncircle = polygons:Circle\n"
        "[another.group]\nstar = polygons:Square\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("polygons", None)


class Circle:
    pass


def test_a_decorator_registers_and_returns_what_it_decorates(shapes: Registry[type]) -> None:
    @shapes.register("oval")
    class Oval:
        pass

    assert isinstance(Oval, type)
    assert shapes.get("oval") is Oval
    assert shapes.names() == ("circle", "oval")


def test_an_unknown_name_lists_those_that_are_known(shapes: Registry[type], other_package: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown shape 'cirle' -> choose one of broken, circle, square$"):
        shapes.get("cirle")


def test_two_plug_ins_cannot_share_a_name(shapes: Registry[type]) -> None:
    with pytest.raises(ConfigError, match=r"two plug-ins are called shape 'circle' -> rename"):
        shapes.register("circle")(int)
    assert shapes.get("circle") is Circle


def test_registering_the_same_plug_in_twice_changes_nothing(shapes: Registry[type]) -> None:
    shapes.register("circle")(Circle)
    assert shapes.names() == ("circle",)


def test_a_plug_in_of_another_package_is_found(shapes: Registry[type], other_package: Path) -> None:
    square = shapes.get("square")
    assert square.corners == 4
    assert square.__module__ == "polygons"
    assert shapes.get("square") is square
    assert "star" not in shapes.names()


def test_another_package_is_imported_only_when_it_is_asked_for(shapes: Registry[type], other_package: Path) -> None:
    assert "square" in shapes.names()
    shapes.get("circle")
    assert "polygons" not in sys.modules


def test_ones_own_plug_in_goes_before_that_of_another_package(shapes: Registry[type], other_package: Path) -> None:
    assert shapes.get("circle") is Circle


def test_registries_of_one_group_share_nothing() -> None:
    assert Registry("shape", GROUP).names() == ()
