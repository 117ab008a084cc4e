"""From the command that materialises a trained model to the first step of optimisation, on a Dagster instance.

The demo's `trained_model` is materialised in a copy of its store by `dagster asset materialize`, a process that has
imported nothing, as a run that the web interface launches, where Dagster and MLflow have their tables, as they have
once anything was made. It is told to train for two steps; when the first was done is read in Dagster's event log, as
what came before is.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from dagster import DagsterEventType, DagsterInstance

from benchmarks.market import PROJECT
from benchmarks.measure import Outcome, SkippedError, Study

DEPLOYMENT, PARTITION = "demo", "demo|dual_channel"
ROUNDS = 3
MOST_SECONDS = 15.0
STORE = Path(DEPLOYMENT) / "store" / "artifacts"
TRACKED = "mlflow.db"
TRAINED = {"seeds": [1], "max_epochs": 1, "steps_per_epoch_at_most": 2, "progress_seconds": 0.001}
"""What the demo's training.yaml is changed in: one member, two steps of it, and a line after the first."""

BEGUN, FEATURES, STEP = "the run begins", "the training process speaks", "first step"
PHASES: Mapping[str, str] = {
    BEGUN: "Python, Dagster and the definitions are imported",
    FEATURES: "MLflow, and beside it torch and Lightning in the training process; the dataset is opened",
    STEP: "step features, network, trainer, one step",
}


@dataclass(frozen=True)
class Machine:
    """A home of Dagster and a configuration of its own.

    Attributes:
        home: Where Dagster keeps its history.
        environment: What the command is started with.
    """

    home: Path
    environment: Mapping[str, str]


def benchmark(folder: Path) -> Study:
    """Materialise again and again, in a new store each time.

    Raises:
        SkippedError: The demo was not made here.
    """
    made = Path(os.environ.get("TRADEML_VAR", PROJECT / "var"))
    if not (made / STORE / "trained_model" / DEPLOYMENT).is_dir():
        raise SkippedError(f"{made / STORE} holds no trained demo -> make demo")
    rounds = [seconds_to(prepared(folder / str(number), made)) for number in range(ROUNDS)]
    median = {phase: statistics.median(each[phase] for each in rounds) for phase in PHASES}
    before = dict(zip(PHASES, (0.0, *median.values()), strict=False))
    rows = [f"| {phase} | {what} | {median[phase] - before[phase]:.1f} |" for phase, what in PHASES.items()]
    head = ["### first_step", "", "| until | what happens | seconds |", "| --- | --- | --- |"]
    return Study([*head, *rows, ""], [Outcome("first_step/seconds", median[STEP], MOST_SECONDS)])


def prepared(folder: Path, made: Path) -> Machine:
    """Lay out a deployment over the demo's artifacts: links to its files, which are replaced and never written to."""
    variables, home, configuration = folder / "var", folder / "home", folder / "configuration"
    shutil.copytree(made / STORE, variables / STORE, copy_function=linked)
    shutil.copytree(PROJECT / "configs" / DEPLOYMENT, configuration)
    home.mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, home)
    stated = configuration / "training.yaml"
    stated.write_text(yaml.safe_dump(yaml.safe_load(stated.read_text()) | TRAINED))
    own = {
        "TRADEML_VAR": str(variables),
        "TRADEML_CONFIG": str(configuration),
        "DAGSTER_HOME": str(home),
        "PYTHONPATH": str(PROJECT),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    shutil.copy2(made / DEPLOYMENT / TRACKED, variables / DEPLOYMENT)
    machine = Machine(home, os.environ | own)
    with instance_of(machine) as instance:  # makes the tables of each storage
        instance.get_runs_count()
        instance.all_asset_keys()
        instance.all_instigator_state()
    return machine


def linked(source: str, target: str) -> None:
    """Link a file, or copy it where links do not reach."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def seconds_to(machine: Machine) -> dict[str, float]:
    """Materialise; return the seconds from the command to the end of each phase."""
    chosen = ["--select", "trained_model", "--partition", PARTITION, "-m", "trademl_assets.definitions"]
    command = [sys.executable, "-m", "dagster", "asset", "materialize", *chosen]
    begun = time.time()
    done = subprocess.run(
        command, cwd=machine.home, env=machine.environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the materialisation failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return {phase: instant - begun for phase, instant in reached(machine)}


def reached(machine: Machine) -> Iterator[tuple[str, float]]:
    """Yield the instants of the phases as the run's event log has them."""
    with instance_of(machine) as instance:
        (run,) = instance.get_runs()
        for entry in instance.all_logs(run.run_id):
            if entry.dagster_event and entry.dagster_event.event_type == DagsterEventType.RUN_START:
                yield BEGUN, entry.timestamp
            elif "reads step features of" in entry.user_message:
                yield FEATURES, entry.timestamp
            elif "epoch 1/1, step 1/2" in entry.user_message:
                yield STEP, entry.timestamp


@contextmanager
def instance_of(machine: Machine) -> Iterator[DagsterInstance]:
    """Open the machine's instance of Dagster."""
    with chdir(machine.home), DagsterInstance.from_config(str(machine.home)) as instance:  # its paths are relative
        yield instance


if __name__ == "__main__":
    for line in benchmark(Path(sys.argv[1])).lines:
        print(line)
