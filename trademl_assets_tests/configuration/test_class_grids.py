"""Class grids that a folder states beside datasets, models and a space that they do not fit."""

from pathlib import Path

from trademl_assets.configuration.reading import load_configuration
from trademl_assets_tests.configuration.test_reading import ENVIRONMENT, edit, folder, mistakes

__all__ = ["folder"]
HEAD = "head: {kind: distribution, components: 3, largest_log_scale: 3.0, initial_log_scale_spread: 0.3}"
FINE = "{kind: fixed, edges_bps: [-60, -30, -20, -12, 0, 12, 20, 30, 60]}"
SIGN = "{kind: fixed, edges_bps: [0]}"


def state(folder: Path, **grids: str) -> None:
    text = ", ".join(f"{name}: {cut}" for name, cut in grids.items())
    edit(folder, "training.yaml", "class_grids: {}", f"class_grids: {{{text}}}")


def search(folder: Path, *choices: str) -> None:
    path = f"training.class_grid: {{kind: categorical, choices: [{', '.join(choices)}], when: null}}"
    edit(folder, "tuning.yaml", "space:\n", f"space:\n  {path}\n")


def test_grids_that_fit_are_searched(folder: Path) -> None:
    state(folder, fine=FINE, sign=SIGN, deciles="{kind: quantile, classes: 10}")
    search(folder, "null", "fine", "sign", "deciles")
    assert set(load_configuration(folder, ENVIRONMENT).training.class_grids) == {"fine", "sign", "deciles"}


def test_a_grid_that_is_stated_nowhere_is_told(folder: Path) -> None:
    search(folder, "null", "fine")
    (line,) = mistakes(folder)
    assert "tuning.yaml: space.training.class_grid: 'fine' is no grid of class_grids in training.yaml" in line
    edit(folder, "training.yaml", "class_grid: null", "class_grid: fine")
    assert any("training.yaml: class_grid is 'fine', class_grids has none" in line for line in mistakes(folder))


def test_a_grid_of_another_unit_is_told(folder: Path) -> None:
    state(folder, relative="{kind: volatility_scaled, multiples: [-1, 0, 1]}")
    assert not load_configuration(folder, ENVIRONMENT).training.class_grid
    edit(folder, "training.yaml", "class_grid: null", "class_grid: relative")
    (line,) = mistakes(folder)
    assert "training.yaml: class_grids.relative: cuts the return over its sigma, the labels of demo" in line


def test_a_grid_that_a_softmax_cannot_sum_is_told(folder: Path) -> None:
    state(folder, sign=SIGN, fine=FINE)
    search(folder, "null", "fine", "sign")
    edit(folder, "models.yaml", HEAD, "head: {kind: softmax}")
    (line,) = mistakes(folder)
    assert "training.yaml: class_grids.sign: lacks the edges [-60.0, -30.0, -12.0, 12.0, 30.0, 60.0]" in line
    assert "softmax head of dual_channel" in line
