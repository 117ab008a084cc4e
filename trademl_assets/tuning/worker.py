"""A worker: `python -m trademl_assets.tuning.worker job.json`, the address of the study's database on standard input.

Imports torch and opens the dataset once, then works off trials until there is none left to begin.
"""

import logging
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path

import torch
from pydantic import Field

from trademl_assets.foundation.errors import TradeMLError
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.training.leases import occupied
from trademl_assets.training.lifeline import die_with
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.training.results import describe_failure, write_json
from trademl_assets.tuning.objective import TrainedTrials
from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.template import TrainingTemplate
from trademl_assets.tuning.work import StudyPlace, work_off


class Job(Parameters):
    """What a worker does; travels as JSON, without the address of the database.

    Attributes:
        template: What the trainings have in common.
        parameters: The search.
        study: Name of the study.
        workers: Folder of the workers' locks.
        defaults: Configured choices.
        failure: File that a failed worker says its reason in.
        launcher: Process that the worker ends with.
        card: GPU that the worker computes on, leased by the launcher; None for the CPU.
        leases: Folder of the cards' locks.
    """

    template: TrainingTemplate
    parameters: StudyParameters
    study: str
    workers: str
    defaults: dict[str, bool | int | float | str | None] = Field()
    failure: str
    launcher: int
    card: str | None
    leases: str | None


def main(arguments: list[str]) -> int:
    """Work; returns the exit status."""
    job = Job.model_validate_json(Path(arguments[0]).read_text("utf-8"))
    url = sys.stdin.readline().strip()
    die_with(job.launcher)
    torch.set_num_threads(TrainingParameters.model_validate(job.template.searchable["training"], strict=False).threads)
    warnings.simplefilter("ignore")  # Lightning's advice, said once a trial
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    place = StudyPlace(job.study, url, Path(job.workers), job.defaults)
    try:
        with nullcontext() if job.card is None or job.leases is None else occupied(Path(job.leases), job.card):
            objective = TrainedTrials(job.template, job.parameters, _say)
            work_off(place, job.parameters, objective, most_epochs=objective.most_epochs, report=_say)
    except TradeMLError as error:
        failure = Path(job.failure)
        write_json(failure.parent, failure.name, dict(describe_failure(error)))
        raise
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 -- the process speaks to whoever started it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
