"""Two datasets are compared by what was asked for, what they were built from and what came of it."""

from pathlib import Path

from trademl_assets.datasets.differences import Difference, differences
from trademl_assets.datasets.windows import open_dataset
from trademl_assets_tests.datasets.conftest import make_store, write_experiment, write_grid_day
from trademl_assets_tests.datasets.examples import FIRST, parameters_of, stated


def of(found: list[Difference], section: str) -> dict[str, tuple[str, str]]:
    return {each.name: (each.left, each.right) for each in found if each.section == section}


def test_a_dataset_does_not_differ_from_itself(tmp_path: Path):
    store = make_store(tmp_path)
    write_experiment(store, "one", parameters_of(stated()))
    write_experiment(store, "two", parameters_of(stated()))
    assert differences(open_dataset(store, "one"), open_dataset(store, "two")) == []


def test_a_changed_parameter_shows_with_what_came_of_it(tmp_path: Path):
    store = make_store(tmp_path)
    changed = stated()
    changed["split"]["embargo_seconds"] = 7200
    changed["labels"]["parameters"]["boundaries"]["classes"] = 3
    write_experiment(store, "one", parameters_of(stated()))
    write_experiment(store, "two", parameters_of(changed))
    found = differences(open_dataset(store, "one"), open_dataset(store, "two"))
    recipe, figures = of(found, "recipe"), of(found, "statistics")
    assert recipe["labels.parameters.boundaries.classes"] == ("4", "3")
    assert recipe["split.embargo_seconds"] == ("3600", "7200")
    assert set(recipe) == {"labels.parameters.boundaries.classes", "split.embargo_seconds"}
    assert figures["class edges, bps"][0].count(",") == 2
    assert figures["class edges, bps"][1].count(",") == 1
    assert "shared samples with another label" in figures
    assert of(found, "data") == {}


def test_a_decision_over_two_horizons_is_two_samples(tmp_path: Path):
    store = make_store(tmp_path)
    values = stated()
    barriers = {"kind": "sigma"}
    values["labels"] |= {
        "horizons_seconds": [900, 1800],
        "kind": "triple_barrier",
        "parameters": {"side": "long", "barriers": barriers, "target": 1.0, "stop": 1.0, "max_path_gap_seconds": 240},
    }
    write_experiment(store, "one", parameters_of(values))
    one = open_dataset(store, "one")
    assert one.index.select("t0", "t1").is_duplicated().any(), "a touch ends the labels of both horizons"
    assert differences(one, open_dataset(store, "one")) == []


def test_other_content_of_a_day_shows_as_data(tmp_path: Path):
    left, right = make_store(tmp_path / "left"), make_store(tmp_path / "right")
    write_grid_day(right, FIRST, seed=5)
    for store in (left, right):
        write_experiment(store, "example", parameters_of(stated()))
    found = differences(open_dataset(left, "example"), open_dataset(right, "example"))
    assert of(found, "data") == {"aligned_grid: with other content": ("1", "1")}
    assert of(found, "recipe") == {}
    assert of(found, "statistics")


def test_samples_that_only_one_has_are_counted(tmp_path: Path):
    store = make_store(tmp_path)
    fewer = stated()
    fewer["labels"]["training_phase_seconds"] = fewer["labels"]["decision_stride_seconds"]
    write_experiment(store, "one", parameters_of(stated()))
    write_experiment(store, "two", parameters_of(fewer))
    one, two = open_dataset(store, "one"), open_dataset(store, "two")
    only = of(differences(one, two), "statistics")["samples of one alone"]
    assert only == (str(one.index.height - two.index.height), "0")
