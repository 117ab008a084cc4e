"""A training that is killed and started again ends in the same bits after the same number of steps."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.training.conftest import FRAME, PROVENANCE, dataset_values, model_values, training_values
from trademl_assets_tests.training.test_several_answers import ALL
from trademl_assets_tests.training.test_windows_alone import AVERAGES, TCN

SLOW = {**training_values()["optimiser"], "learning_rate": 0.003}
SMALL = {"segments_per_step": 1, "max_epochs": 3, "checkpoint_every_steps": 3, "optimiser": SLOW}
AVERAGED = {**SMALL, "weight_average_decay": 0.9, "checkpoint_every_steps": 4}
PLATEAU = {
    **SMALL,
    "kept_epoch": "last",
    "schedule": {
        "kind": "reduce_on_plateau",
        "factor": 0.5,
        "patience_epochs": 0,
        "minimum_improvement": 1.0,
        "final_learning_rate_share": 0.01,
    },
    "early_stopping": {"patience_epochs": 2, "minimum_improvement": 1.0, "threshold": None},
}
WILD = {
    **SMALL,
    "checkpoint_every_steps": 1,
    "optimiser": {**SLOW, "learning_rate": 1e18},
    "schedule": {"kind": "constant"},
    "not_a_number": {"retries": 3, "learning_rate_factor": 1e-10},
}
GRIDS = {
    "fine": {"kind": "fixed", "edges_bps": [-60.0, -30.0, -10.0, 0.0, 10.0, 30.0, 60.0]},
    "sign": {"kind": "fixed", "edges_bps": [0.0]},
}
MUCH = {
    "experiment": "even_several",
    "model": {"history": TCN, "answers": ALL, "mirrored": True},
    "training": {
        **AVERAGED,
        "segments_per_step": 3,
        "parts_per_step": 2,
        "workers": 2,
        "checkpoint_every_steps": 1,
        "class_grid": "fine",
        "class_grids": GRIDS,
        "loss": {"kind": "focal", "gamma": 1.5, "class_weights": None},
    },
}
"""Averages, workers, parts, pooled instruments, several horizons, mirrored segments and another grid at once."""
KILLED = [
    ["step", 1],
    ["step", 5],
    ["step", 12],
    ["validation", 2],
    ["epoch_end", 2],
    ["before_saving", 2],
    ["disk:mid_write", 40],
    ["disk:before_replace", 2],
]


def run_rig(store: ArtifactStore, folder: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the cases, each in a folder of its own, in one process that forks."""
    stated = []
    for number, case in enumerate(cases):
        own = folder / str(number)
        own.mkdir(parents=True)
        stated.append({"folder": str(own), "processes": 1, "bomb": None, "training": SMALL, **case})
    command = [sys.executable, "-m", "trademl_assets_tests.training.kill_rig", str(store.layout.root)]
    done = subprocess.run(command, input=json.dumps(stated), capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("sha256", "epochs", "best_epoch", "steps"))


def without_dropout() -> dict[str, Any]:
    """The network whose processes draw no random numbers, so that they compute what one process computes."""

    def still(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: 0.0 if key == "dropout" else still(each) for key, each in value.items()}
        return value

    found: dict[str, Any] = still(model_values())
    return found


@pytest.fixture(scope="module")
def even_several(store: ArtifactStore) -> ArtifactStore:
    """The store with a dataset of two instruments and two horizons beside, whose class edges have a mirror."""
    values = dataset_values()
    values["pooled_with"] = ["LEAD"]
    values["labels"]["horizons_seconds"] = [900, 1800]
    values["labels"]["parameters"] = {"boundaries": {"kind": "fixed", "edges_bps": [-30.0, 0.0, 30.0]}}
    parts = build_dataset(store, DatasetParameters.model_validate_json(json.dumps(values)), FRAME)
    with store.write("dataset", "even_several", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, parts)
    return store


@pytest.fixture(scope="module")
def together(
    even_several: ArtifactStore, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    training = {**SMALL, "segments_per_step": 3, "max_epochs": 2, "checkpoint_every_steps": 1}
    folder = tmp_path_factory.mktemp("together")
    calm = {"training": training, "model": without_dropout()}
    several = {"training": {**training, "parts_per_step": "auto", "step_memory_share": 1e-9}, "processes": 2}
    parts = {**calm, "training": {**training, "parts_per_step": 2}}
    cases = [calm, {**calm, "processes": 2}, several, {**several, "bomb": ["step", 4]}, parts]
    ranked = {
        **training,
        "class_grid": "sign",
        "class_grids": GRIDS,
        "loss": {"kind": "ranked", "cross_entropy_share": 0.3},
    }
    still = {**without_dropout(), "answers": ALL, "mirrored": True, "history": {**AVERAGES, "dropout": 0.0}}
    plain = {"experiment": "even_several", "model": still, "training": ranked}
    crowded = {**plain, "training": {**ranked, "parts_per_step": 2, "workers": 2}, "processes": 2}
    cases += [plain, crowded, {**crowded, "bomb": ["step", 6]}]
    return folder, run_rig(even_several, folder, cases)


def test_two_processes_compute_what_one_does_and_train_on_every_label_once(
    together: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, (one, two, *_) = together
    expected, found = (load_file(folder / number / "weights.safetensors") for number in ("0", "1"))
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, atol=1e-5, rtol=1e-4)
    for row, other in zip(one["epochs"], two["epochs"], strict=True):
        assert other == pytest.approx(row, abs=1e-5)
    alone, *halves = (
        json.loads((folder / path).read_text()) for path in ("0/rows_0.json", "1/rows_0.json", "1/rows_1.json")
    )
    for step, first, second in zip(alone, *halves, strict=True):
        assert sorted(first + second) == sorted(step)
        assert len(set(step)) == len(step)


def test_processes_parts_and_workers_together_compute_the_same_steps_even_where_a_step_has_fewer_segments_than_shares(
    together: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, found = together
    one, crowded, killed = found[5:8]
    assert crowded["steps"] == one["steps"] == one["made_here"] == 4
    assert crowded["made_here"] == 2 * one["made_here"]
    expected, weights = (load_file(folder / number / "weights.safetensors") for number in ("5", "6"))
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-4)
    alone, *halves = (
        json.loads((folder / path).read_text())
        for path in ("5/rows_0.json", *(f"6/rows_{rank}.json" for rank in (0, 1)))
    )
    shares = [[half[2 * step + part] for half in halves for part in (0, 1)] for step in range(len(alone))]
    for step, parts in zip(alone, shares, strict=True):
        assert sorted(row for part in parts for row in part) == sorted(step)
    assert sorted(sum(bool(part) for part in parts) for parts in shares) == [1, 1, 3, 3]  # of three and of one segment
    assert same(killed, crowded)
    assert killed["made_here"] < crowded["made_here"]


def test_two_processes_go_on_to_the_same_bits_after_a_kill(together: tuple[Path, list[dict[str, Any]]]) -> None:
    whole, killed = together[1][2:4]
    assert same(killed, whole)
    assert killed["made_here"] < whole["made_here"]


def test_a_step_in_parts_is_the_same_step(together: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, found = together
    assert found[4]["steps"] == found[0]["steps"]
    assert found[4]["made_here"] == 2 * found[0]["made_here"]
    expected, parts = (load_file(folder / number / "weights.safetensors") for number in ("0", "4"))
    for name, weights in expected.items():
        torch.testing.assert_close(parts[name], weights, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def alone(even_several: ArtifactStore, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = [{}, *({"bomb": bomb} for bomb in KILLED)]
    cases += [{"training": {**SMALL, "workers": 2}}]
    cases += [{"training": PLATEAU}, {"training": PLATEAU, "bomb": ["step", 9]}]
    cases += [{"training": WILD}, {"training": WILD, "bomb": ["step", 2]}]
    cases += [MUCH, {**MUCH, "bomb": ["step", 7]}]
    cases += [{"bomb": ["step", 12], "damaged": ["checkpoints/step_*.ckpt"]}]
    return run_rig(even_several, tmp_path_factory.mktemp("killed"), cases)


@pytest.mark.parametrize("number", range(1, len(KILLED) + 1), ids=[f"{at}-{count}" for at, count in KILLED])
def test_a_kill_anywhere_changes_no_bit(alone: list[dict[str, Any]], number: int) -> None:
    assert same(alone[number], alone[0])
    assert (alone[number]["steps"], alone[number]["best_epoch"]) == (12, 2)
    if KILLED[number - 1] == ["step", 12]:
        assert alone[number]["made_here"] < 12


def test_workers_change_no_bit(alone: list[dict[str, Any]]) -> None:
    assert same(alone[1 + len(KILLED)], alone[0])


def test_a_schedule_and_stopping_that_follow_validation_are_gone_on_from(alone: list[dict[str, Any]]) -> None:
    whole, killed = alone[2 + len(KILLED) : 4 + len(KILLED)]
    rates = [row["learning_rate"] for row in whole["epochs"]]
    assert rates[-1] < rates[0]
    assert same(killed, whole)


def test_recoveries_from_a_loss_that_is_no_number_are_gone_on_from(alone: list[dict[str, Any]]) -> None:
    whole, killed = alone[4 + len(KILLED) : 6 + len(KILLED)]
    assert sum("retry" in line for line in whole["lines"]) == 2
    assert same(killed, whole)


def test_many_options_at_once_are_gone_on_from(alone: list[dict[str, Any]]) -> None:
    whole, killed = alone[6 + len(KILLED) : 8 + len(KILLED)]
    assert whole["made_here"] == 2 * whole["steps"] == 12
    assert same(killed, whole)
    assert killed["made_here"] == 6


def test_the_last_two_checkpoints_are_kept_each_with_its_hash(alone: list[dict[str, Any]]) -> None:
    assert [name for name in alone[0]["kept"] if name.startswith("step_")] == [
        f"step_{step:09d}.{kind}" for step in (6, 9) for kind in ("ckpt", "json")
    ]


def test_the_checkpoint_before_a_damaged_one_serves_and_the_log_says_so(alone: list[dict[str, Any]]) -> None:
    damaged = alone[-1]
    assert same(damaged, alone[0])
    assert any("is damaged, falling back" in line and "step_000000009" in line for line in damaged["lines"])
    assert any(line.endswith("goes on from step_000000006") for line in damaged["lines"])
    assert damaged["made_here"] == 6
