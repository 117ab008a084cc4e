"""What a trial of a study costs beside its training, in a worker that has imported torch and opened its dataset."""

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Outcome, Study
from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.tuning import objective as objective_module
from trademl_assets.tuning.study import run_study
from trademl_assets.tuning.work import work_off
from trademl_assets_tests.training.conftest import FRAME, PROVENANCE, dataset_values, write_market
from trademl_assets_tests.tuning.test_workers import parameters, template

TRIALS = 12
MOST_SECONDS = 2.0


def benchmark(folder: Path) -> Study:
    """Work off a study of short trainings and take the time of the trainings away."""
    store = ArtifactStore.at(folder / "store")
    write_market(store)
    stated = DatasetParameters.model_validate_json(json.dumps(dataset_values()))
    with store.write("dataset", "signal", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, build_dataset(store, stated, FRAME))
    (folder / "study").mkdir()
    search, trained = parameters(n_trials=TRIALS), template(store, max_epochs=1)
    seconds: dict[str, float] = {"training": 0.0}
    train = objective_module.fit_members

    def timed(*arguments: Any, **named: Any) -> None:
        begun = time.perf_counter()
        train(*arguments, **named)
        seconds["training"] += time.perf_counter() - begun

    def employ(place: Any, _release: Any) -> None:
        begun = time.perf_counter()
        objective = objective_module.TrainedTrials(trained, search, lambda _line: None)
        seconds["opening"] = time.perf_counter() - begun
        work_off(place, search, objective, most_epochs=objective.most_epochs, report=lambda _line: None)
        seconds["all"] = time.perf_counter() - begun

    objective_module.fit_members = timed
    try:
        run_study(search, trained.searchable, folder / "study", "benchmark", employ, subject="benchmark")
    finally:
        objective_module.fit_members = train
    beside = (seconds["all"] - seconds["training"]) / TRIALS
    told = f"{TRIALS} trials: {seconds['training']:.1f} s of training, {beside:.2f} s a trial beside it"
    return Study(
        ["### study_trials", "", told, ""], [Outcome("study_trials/seconds_beside_training", beside, MOST_SECONDS)]
    )
