"""Trains in processes that are killed at a named instant, and again to the end; prints what came out.

Reads cases as JSON from standard input, a list of {"folder", "training", "processes", "bomb"} and, where they are not
those of `conftest`, "model" and "experiment". Modules are imported once, then each training is a fork (nothing of
polars may run before one: its threads would be missing after it). A bomb is [place, count]: the process kills itself
with SIGKILL when it comes to the place for the count-th time.
"""

import hashlib
import json
import logging
import os
import signal
import socket
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from trademl_assets.datasets.windows import open_dataset
from trademl_assets.models.inputs import inputs_of
from trademl_assets.models.network import SegmentBatch
from trademl_assets.storage import durable
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.class_grids import with_chosen_classes
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.member import build_network, train_member
from trademl_assets.training.module import MemberModule
from trademl_assets.training.resume import ResumeCallback
from trademl_assets_tests.training.conftest import model_of, training_of

PLACES = {
    "step": (MemberModule, "training_step"),
    "validation": (MemberModule, "validation_step"),
    "epoch_end": (MemberModule, "on_train_epoch_end"),
    "before_saving": (ResumeCallback, "_save"),
}


def main(root: str) -> None:
    torch.set_num_threads(1)
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    found = []
    for case in json.load(sys.stdin):
        if case["bomb"]:
            died = train(root, case, case["bomb"])
            assert died == [-signal.SIGKILL] * case["processes"], died
            for name in case.get("damaged", []):
                path = max(Path(case["folder"]).glob(name))
                path.write_bytes(path.read_bytes()[:-1] + b"?")
        ended = train(root, case, None)
        assert ended == [0] * case["processes"], ended
        found.append(json.loads((Path(case["folder"]) / "result.json").read_text()))
    sys.stdout.write(json.dumps(found))


def train(root: str, case: dict[str, Any], bomb: list[Any] | None) -> list[int]:
    """Train in as many forks as there shall be processes; return how they ended, minus the signal if by one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(case["processes"]):
        child = os.fork()
        if child == 0:
            try:
                os.dup2(2, 1)
                child_of(root, case, bomb if rank == case["processes"] - 1 else None, rank, port)
                os._exit(0)
            except BaseException:  # noqa: BLE001 -- a fork ends here, whatever happened
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    last = os.waitpid(children[-1], 0)[1]
    if bomb:  # as torchrun does with those that are left
        for child in children[:-1]:
            os.kill(child, signal.SIGKILL)
    return [
        -os.WTERMSIG(s) if os.WIFSIGNALED(s) else os.WEXITSTATUS(s)
        for s in [*(os.waitpid(child, 0)[1] for child in children[:-1]), last]
    ]


def child_of(root: str, case: dict[str, Any], bomb: list[Any] | None, rank: int, port: int) -> None:
    if case["processes"] > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "GROUP_RANK": "0",
            "WORLD_SIZE": str(case["processes"]),
            "LOCAL_WORLD_SIZE": str(case["processes"]),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "TORCHELASTIC_RUN_ID": "rig",
        }
    model, training = model_of(**case.get("model", {})), training_of(**case["training"])
    stored = open_dataset(ArtifactStore.at(Path(root)), case.get("experiment", "signal"))
    dataset, grid = with_chosen_classes(stored, training)
    inputs = inputs_of(dataset)
    feed = SegmentFeed(dataset, build_network(model, inputs))
    if bomb:
        arm(*bomb)
    steps, rows = count_calls("training_step"), rows_trained_on()
    lines: list[str] = []
    member = train_member(
        model,
        inputs,
        feed,
        training,
        seed=1,
        folder=Path(case["folder"]) / "checkpoints",
        grid=grid,
        key="rig",
        processes=case["processes"],
        report=lambda line, _facts: lines.append(line),
    )
    (Path(case["folder"]) / f"rows_{rank}.json").write_text(json.dumps(rows))
    if rank == 0:
        weights = save(dict(member.network.state_dict()))
        result = {
            "sha256": hashlib.sha256(weights).hexdigest(),
            "epochs": member.epochs,
            "best_epoch": member.best_epoch,
            "steps": member.steps,
            "made_here": steps[0],
            "lines": lines,
            "kept": sorted(path.name for path in (Path(case["folder"]) / "checkpoints").iterdir()),
        }
        (Path(case["folder"]) / "result.json").write_text(json.dumps(result))
        (Path(case["folder"]) / "weights.safetensors").write_bytes(weights)


def arm(place: str, count: int) -> None:
    """Have this process kill itself when it comes to a place for the count-th time."""
    left = [count]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if place.startswith("disk:"):
        point = place.removeprefix("disk:")
        durable.failpoint = lambda name: tick() if name == point else None
        return
    owner, name = PLACES[place]
    before = getattr(owner, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        tick()
        return before(*arguments, **named)

    setattr(owner, name, counted)


def count_calls(name: str) -> list[int]:
    made, before = [0], getattr(MemberModule, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        made[0] += 1
        return before(*arguments, **named)

    setattr(MemberModule, name, counted)
    return made


def rows_trained_on() -> list[list[int]]:
    """Collect, batch by batch, the rows of the index that count."""
    rows, before = [], MemberModule.training_step

    def collecting(self: MemberModule, batch: SegmentBatch, batch_index: int) -> torch.Tensor:
        rows.append(batch.rows[batch.weights > 0].tolist())
        return before(self, batch, batch_index)

    MemberModule.training_step = collecting  # type: ignore[method-assign]  # in this fork alone
    return rows


if __name__ == "__main__":
    main(sys.argv[1])
