"""The files a training process leaves in its scratch folder, and how they become a partition. Free of torch."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from trademl_assets.foundation.errors import MissingPartitionError
from trademl_assets.storage.durable import write_durably
from trademl_assets.storage.partition_writer import PartitionWriter
from trademl_assets.storage.tables import write_table

SPEC_FILE = "spec.json"
SUMMARY_FILE = "summary.json"
HISTORY_FILE = "history.json"
PREDICTIONS_FILE = "predictions.parquet"
FAILURE_FILE = "failure.json"
METRICS_FILE = "metrics.jsonl"
CHECKPOINTS_FOLDER = "checkpoints"
SCHEMA_VERSION = 2


def member_name(seed: int) -> str:
    """Name of a member's files: weights `<name>.safetensors`, sidecar `<name>.json`."""
    return f"member_{seed}"


def sidecar_name(seed: int) -> str:
    """Name of a member's sidecar in a partition."""
    return f"{member_name(seed)}_sidecar"


def write_json(folder: Path, name: str, value: Any) -> None:
    """Write a JSON document atomically, with sorted keys."""
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False)
    write_durably(folder, lambda path: _write_text(path, text), lambda _digest: name)


def read_json(path: Path) -> Any:
    """Read a JSON document."""
    return json.loads(path.read_text("utf-8"))


def prediction_schema(classes: int) -> dict[str, pl.DataType]:
    """Columns of the predictions: sample, member (its seed), one logit a class."""
    logits = {f"logit_{number}": pl.Float64() for number in range(classes)}
    return {"sample": pl.Int64(), "member": pl.Int32(), **logits}


def write_predictions(folder: Path, frame: pl.DataFrame) -> None:
    """Write the predictions atomically."""
    write_durably(folder, lambda path: write_table(frame, path), lambda _digest: PREDICTIONS_FILE)


def collect_training(writer: PartitionWriter, folder: Path) -> dict[str, Any]:
    """Adopt the files of a finished training into a partition of `trained_model`.

    Tables: `predictions`. JSON: `history`, `summary`, a sidecar a member. Weights: safetensors a member.

    Returns:
        The summary.

    Raises:
        MissingPartitionError: The folder holds no finished training.
    """
    if not (folder / SUMMARY_FILE).is_file():
        raise MissingPartitionError(f"{folder} holds no finished training -> run the training first")
    summary: dict[str, Any] = read_json(folder / SUMMARY_FILE)
    for member in summary["members"]:
        name = member_name(member["seed"])
        writer.adopt(name, folder / f"{name}.safetensors")
        writer.adopt(sidecar_name(member["seed"]), folder / f"{name}.json")
    writer.adopt("history", folder / HISTORY_FILE)
    writer.adopt("summary", folder / SUMMARY_FILE)
    writer.adopt("predictions", folder / PREDICTIONS_FILE)
    writer.rows(summary["predictions"])
    writer.note("members", summary["members"])
    writer.note("trainable_parameters", summary["trainable_parameters"])
    return summary


def append_metrics(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add the facts of a line of progress to those before, for whoever follows the training."""
    with (folder / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(facts), sort_keys=True) + "\n")


@contextmanager
def followed(folder: Path, take: Callable[[Mapping[str, Any]], None], every_seconds: float) -> Iterator[None]:
    """Hand on what a training in that folder says of its progress, while it runs, from a thread.

    What was said before a kill is told again. A failure of `take` ends the following, never the training.

    Args:
        folder: Of the training.
        take: Takes the facts of a line of progress: member, epoch, step and metrics.
        every_seconds: Between two looks.
    """
    ended = threading.Event()
    offset = 0

    def look() -> None:
        nonlocal offset
        path = folder / METRICS_FILE
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(offset)
            whole, _, _ = file.read().rpartition(b"\n")
        for line in whole.splitlines():
            take(json.loads(line))
        offset += len(whole) + 1 if whole else 0

    def follow() -> None:
        while not ended.wait(every_seconds):
            look()
        look()

    thread = threading.Thread(target=follow, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def remove_files(folder: Path, names: Sequence[str]) -> None:
    """Remove files if they are there."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def describe_failure(error: BaseException) -> Mapping[str, str]:
    """What a failed process says of itself."""
    return {"error": type(error).__name__, "message": str(error)}


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
