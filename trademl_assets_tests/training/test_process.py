import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import (
    ConfigError,
    CorruptArtifactError,
    MissingPartitionError,
    TrainingError,
    TrainingTimeoutError,
)
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance
from trademl_assets.training.artifact import load_model, load_trained_model
from trademl_assets.training.launch import build_command, launch_training
from trademl_assets.training.prediction_spec import PredictionSpec
from trademl_assets.training.results import collect_training, followed
from trademl_assets.training.run import main
from trademl_assets_tests.training.conftest import model_values, specification, training_values

PROVENANCE = Provenance(code_version="1", config_fingerprint="f", upstream={})


def in_this_process(command: Sequence[str], environment: Mapping[str, str]) -> None:
    main([command[-1]])


def hashes(folder: Path) -> dict[str, str]:
    names = ("member_1.safetensors", "member_1.json", "member_2.safetensors", "member_2.json")
    names = (*names, "history.json", "predictions.parquet", "summary.json")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


@pytest.fixture(scope="session")
def trained(store: ArtifactStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    launch_training(specification(store, folder), runner=in_this_process)
    return folder


def test_predictions_cover_the_held_out_decisions_for_every_member(trained: Path, dataset: Dataset) -> None:
    predictions = pl.read_parquet(trained / "predictions.parquet")
    held_out = dataset.index.filter((pl.col("part") != "train") & pl.col("on_stride"))["sample"].sort()
    for seed in (1, 2):
        samples = predictions.filter(pl.col("member") == seed)["sample"]
        assert samples.sort().to_list() == held_out.to_list()
    assert [name for name in predictions.columns if name.startswith("logit_")] == [f"logit_{n}" for n in range(4)]


def test_a_committed_model_predicts_what_training_predicted(
    trained: Path, store: ArtifactStore, dataset: Dataset
) -> None:
    with store.write("trained_model", "signal|small", schema_version=1, provenance=PROVENANCE) as writer:
        summary = collect_training(writer, trained)
    assert [member["seed"] for member in summary["members"]] == [1, 2]
    found = load_trained_model(store, "signal|small").predict(dataset, "test")
    expected = store.read_table("trained_model", "signal|small", "predictions").filter(
        pl.col("sample").is_in(found["sample"].to_list())
    )
    members = [expected.filter(pl.col("member") == seed).sort("sample").drop("sample", "member") for seed in (1, 2)]
    mean = np.mean([softmax(member.to_numpy(), axis=1) for member in members], axis=0)
    np.testing.assert_allclose(found.drop("sample").to_numpy(), mean, atol=1e-12)


def prediction(store: ArtifactStore, folder: Path, model: str) -> PredictionSpec:
    stated = {"mode": "predict", "store_root": str(store.layout.root), "experiment": "signal", "part": "test"}
    stated |= {"model_name": model, "training": training_values(devices="cpu"), "output_folder": str(folder)}
    return PredictionSpec.model_validate_json(json.dumps(stated))


def test_the_process_predicts_with_a_committed_model_what_training_predicted(
    trained: Path, store: ArtifactStore, dataset: Dataset, tmp_path: Path
) -> None:
    with store.write("trained_model", "signal|again", schema_version=1, provenance=PROVENANCE) as writer:
        collect_training(writer, trained)
    launch_training(prediction(store, tmp_path, "signal|again"), runner=in_this_process)
    asked = dataset.index.filter((pl.col("part") == "test") & pl.col("on_stride"))["sample"]
    expected = pl.read_parquet(trained / "predictions.parquet").filter(pl.col("sample").is_in(asked.to_list()))
    found = pl.read_parquet(tmp_path / "predictions.parquet")
    assert found.height == expected.height == 2 * asked.len()
    order = ["member", "sample"]
    difference = found.sort(order).to_numpy() - expected.sort(order).to_numpy()
    assert np.abs(difference).max() < 1e-9


def test_a_prediction_without_its_model_says_what_is_missing(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^the prediction of signal\|none on signal failed with Missing"):
        launch_training(prediction(store, tmp_path, "signal|none"), runner=in_this_process)


def test_a_failure_says_whether_it_trained_or_predicted(store: ArtifactStore, tmp_path: Path) -> None:
    def dies(_command: object, _environment: object) -> None:
        time.sleep(0.02)
        raise RuntimeError("killed")

    predicted = prediction(store, tmp_path / "predicted", "signal|none")
    for spec, what in ((predicted, "prediction of signal|none"), (specification(store, tmp_path), "training of small")):
        with pytest.raises(TrainingError, match=rf"^the process of the {re.escape(what)} on signal ended: killed"):
            launch_training(spec, runner=dies)
        short = spec.training.model_copy(update={"timeout": timedelta(seconds=0.01)})
        goes_on = "begins anew" if spec is predicted else "goes on from its last checkpoint"
        with pytest.raises(TrainingTimeoutError, match=rf"^the {re.escape(what)} .* ended as stuck.* it {goes_on}$"):
            launch_training(spec.model_copy(update={"training": short}), runner=dies)


def test_a_search_predicts_validation_only(store: ArtifactStore, dataset: Dataset, tmp_path: Path) -> None:
    result = launch_training(specification(store, tmp_path, mode="search", seeds=[2]), runner=in_this_process)
    samples = pl.read_parquet(tmp_path / "predictions.parquet")["sample"].to_list()
    assert samples == dataset.samples("validation", on_stride_only=True)["sample"].to_list()
    assert 0 < result.validation_log_loss < 10


def test_what_was_trained_from_something_else_is_trained_anew(
    store: ArtifactStore, trained: Path, tmp_path: Path
) -> None:
    training = training_values(max_epochs=1)
    launch_training(specification(store, tmp_path, seeds=[1], training=training), runner=in_this_process)
    old = (tmp_path / "member_1.safetensors").read_bytes()
    launch_training(specification(store, tmp_path), runner=in_this_process)
    assert (tmp_path / "member_1.safetensors").read_bytes() != old
    assert hashes(tmp_path) == hashes(trained)


def test_what_a_training_says_of_itself_can_be_followed(store: ArtifactStore, tmp_path: Path) -> None:
    told: list[Mapping[str, object]] = []
    with followed(tmp_path, told.append, 0.05):
        launch_training(specification(store, tmp_path, seeds=[1]), runner=in_this_process)
    assert [facts["step"] for facts in told] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {"training_loss", "validation_log_loss", "samples_per_second", "memory_bytes"} <= set(told[-1])
    again: list[Mapping[str, object]] = []
    with followed(tmp_path, again.append, 60.0):
        pass
    assert again == told


def test_a_model_that_does_not_fit_is_a_configuration_error(store: ArtifactStore, tmp_path: Path) -> None:
    model = model_values(encoder={**model_values()["encoder"], "steps": 7})
    with pytest.raises(ConfigError, match=r"small on signal.*patch of 7 steps"):
        launch_training(specification(store, tmp_path, model=model), runner=in_this_process)


def test_a_process_without_results_is_a_training_error(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="without results"):
        launch_training(specification(store, tmp_path), runner=lambda _command, _environment: None)
    with pytest.raises(MissingPartitionError):
        collect_training(None, tmp_path)  # type: ignore[arg-type]  # refused before the writer is touched


def test_damaged_weights_are_refused(trained: Path, tmp_path: Path) -> None:
    for name in ("member_1.safetensors", "member_1.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    weights = bytearray((tmp_path / "member_1.safetensors").read_bytes())
    weights[-3] ^= 1
    (tmp_path / "member_1.safetensors").write_bytes(weights)
    with pytest.raises(CorruptArtifactError, match="member_1"):
        load_model(tmp_path)
    with pytest.raises(CorruptArtifactError, match="no trained member"):
        load_model(tmp_path / "empty")


def test_a_member_of_an_older_version_is_refused(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "member_1.safetensors").write_bytes((trained / "member_1.safetensors").read_bytes())
    sidecar = json.loads((trained / "member_1.json").read_text())
    (tmp_path / "member_1.json").write_text(json.dumps({**sidecar, "schema_version": 1}))
    with pytest.raises(CorruptArtifactError, match="is of version 1, this code reads 2 -> train again"):
        load_model(tmp_path)


@pytest.mark.end_to_end
def test_killed_in_the_middle_and_started_again_gives_the_same_bytes(
    store: ArtifactStore, trained: Path, tmp_path: Path
) -> None:
    spec = specification(store, tmp_path)
    (tmp_path / "launch.json").write_text(spec.model_dump_json())
    code = (
        "import sys, pathlib\n"
        "from trademl_assets.training.launch import launch_training\n"
        "from trademl_assets.training.parameters import TrainingSpec\n"
        "launch_training(TrainingSpec.model_validate_json(pathlib.Path(sys.argv[1]).read_text()))\n"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "launch.json")])
    while not (tmp_path / "checkpoints").exists():
        assert launcher.poll() is None
        time.sleep(0.01)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    deadline = time.monotonic() + 10
    while _processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _processes_of(tmp_path) == []
    lines: list[str] = []
    left = set(Path(tempfile.gettempdir()).glob("torchelastic_*"))
    launch_training(spec, on_progress=lines.append)
    assert hashes(tmp_path) == hashes(trained)
    assert set(Path(tempfile.gettempdir()).glob("torchelastic_*")) <= left
    assert not (tmp_path / "torchrun").exists()
    assert any("validation log-loss" in line for line in lines)


def _processes_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in command and b"trademl_assets.training.run" in command:
                found.append(int(entry.name))
    return found


@pytest.mark.end_to_end
def test_a_training_that_takes_too_long_is_ended_with_an_error_of_its_own(store: ArtifactStore, tmp_path: Path) -> None:
    stuck = training_values(timeout="PT5S", max_epochs=100000)
    lines: list[str] = []
    with pytest.raises(TrainingTimeoutError, match=r"small on signal was ended as stuck.*raise timeout"):
        launch_training(specification(store, tmp_path, training=stuck), on_progress=lines.append)
    assert any("Timeout (0:00:05)!" in line for line in lines)
    assert any("training/lifeline.py" in line for line in lines)  # where every thread stood, cut off at 100 frames
    assert _processes_of(tmp_path) == []


def test_the_command_is_one_path_for_all_devices_and_one_process_needs_no_agent() -> None:
    alone = build_command(Path("/scratch/spec.json"), 1, Path("/scratch/torchrun"))
    assert alone[1:] == ["-m", "trademl_assets.training.run", "/scratch/spec.json"]
    command = build_command(Path("/scratch/spec.json"), 2, Path("/scratch/torchrun"))
    assert command[1:] == [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "--log-dir=/scratch/torchrun",
        "-m",
        "trademl_assets.training.run",
        "/scratch/spec.json",
    ]


def test_history_holds_every_epoch_of_every_member(trained: Path) -> None:
    history = json.loads((trained / "history.json").read_text())
    assert {seed: len(rows) for seed, rows in history.items()} == {"1": 4, "2": 4}
    metrics = {"training_loss", "validation_log_loss", "validation_accuracy"}
    assert set(history["1"][0]) == {"epoch", "learning_rate", *metrics}
