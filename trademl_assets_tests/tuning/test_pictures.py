"""Pictures and importances of a study with trials of every kind."""

import math

import pytest

from trademl_assets.tuning.history import draw_history, draw_importances, draw_parallel_coordinates, draw_pruning
from trademl_assets.tuning.importance import importances
from trademl_assets_tests.tuning.studies import MODEL, SPACE, loss, outcome, parameters, search

MOMENTUM = {
    "kind": "float",
    "low": 0.1,
    "high": 0.9,
    "log": False,
    "when": {"path": "training.optimiser", "choices": ["sgd"]},
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    def ask(overrides, tell):
        for epoch in range(5):
            tell(epoch, loss(overrides) + 1.0 / (epoch + 1))
        return outcome(math.nan if overrides["model.width"] == 12 else loss(overrides))

    stated = parameters(
        n_trials=14,
        space=SPACE | {"training.momentum": MOMENTUM},
        pruner={"kind": "median", "after_trials": 4, "after_epochs": 1},
    )
    model = {**MODEL, "training": {**MODEL["training"], "momentum": 0.5}}
    return stated, search(stated, tmp_path_factory.mktemp("mixed"), ask, model=model)


def test_a_conditional_path_is_searched_where_its_condition_holds_and_nowhere_else(mixed):
    trials = mixed[1].trials
    searched = trials["training.momentum"].is_not_null()
    assert searched.to_list() == (trials["training.optimiser"] == "sgd").to_list()
    assert searched.any()


def test_trials_of_every_kind_are_drawn(mixed):
    stated, found = mixed
    assert set(found.trials["state"]) == {"complete", "pruned", "failed"}
    drawn = [
        draw_history(found.trials),
        draw_parallel_coordinates(found.trials),
        draw_pruning(found.trials, found.curves),
        draw_importances(importances(found.trials, stated)),
    ]
    assert all(png.startswith(b"\x89PNG") for png in drawn)
    assert len(set(drawn)) == 4


def test_what_decides_the_loss_is_most_important(tmp_path):
    def ask(overrides, tell):
        return outcome((math.log10(overrides["training.rate"]) + 2) ** 2)

    stated = parameters(n_trials=30, random_trials=30)
    found = importances(search(stated, tmp_path, ask).trials, stated)
    assert max(found, key=lambda each: each.share).path == "training.rate"
    assert sum(each.share for each in found) == pytest.approx(1.0)
    assert importances(search(parameters(n_trials=2), tmp_path).trials, stated) == ()
