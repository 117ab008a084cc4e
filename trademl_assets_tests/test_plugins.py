"""The example plug-in package, installed for real beside the platform and named in a deployment's YAML.

What needs the plug-ins runs in a process of its own, whose path has the folder they were installed into; the functions
without `test_` are what those processes call.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from trademl_assets.configuration.reading import load_configuration
from trademl_assets.datasets.label_kinds import LABELS
from trademl_assets.datasets.leakage import audit
from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.registry import MODELS, ModelParameters
from trademl_assets.order_book.steps import PREPROCESSING_STEPS
from trademl_assets.sources.contract import SOURCES
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.conftest import PROJECT
from trademl_assets_tests.datasets.conftest import FRAME, make_store, write_experiment
from trademl_assets_tests.datasets.examples import FIRST, stated

EXAMPLE = PROJECT / "examples" / "plugin_package"
DEMO = PROJECT / "configs" / "demo"
REGISTRIES = {
    "repeated_book": SOURCES,
    "drop_wide_spreads": PREPROCESSING_STEPS,
    "sign_of_return": LABELS,
    "minutes_of_silence": STREAMS,
    "mean_of_prices": MODELS,
}
PATCH_STEPS = 5


# --- a deployment that names the plug-ins


def market_section() -> dict[str, Any]:
    def instrument(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "venue": "planted",
            "market": "usdm",
            "symbol": name,
            "tick_size": 0.01,
            "reference_quantity": 1.0,
        }

    days = dict.fromkeys(("history_first_day", "first_day", "tall_rows_from"), FIRST)
    book = {"kind": "repeated_book", "parameters": {"cadence_seconds": 60, "levels": 10, "mid": 100.0}}
    return {
        "instruments": [instrument(name) for name in FRAME.instruments],
        **days,
        "last_day": stated()["last_day"],
        "sources": {"book": book},
        "depth_source": "book",
        "snapshot_source": None,
        "candle_source": None,
        "aggregate_source": None,
        "optimum_source": None,
        "series": {},
    }


def dataset_section() -> dict[str, Any]:
    values = stated()
    values["labels"] |= {"kind": "sign_of_return", "parameters": {"threshold_bps": 0.0}}
    silence = {"kind": "minutes_of_silence", "lookback": "PT2H", "parameters": {"at_most": 30.0}}
    values["streams"]["additional"] = {"silence": silence}
    return values


def write_deployment(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """The demo's files with a market, a dataset and a model of the plug-ins; `change` edits the sections."""
    sections = {}
    for file in sorted(DEMO.glob("*.yaml")):
        text = file.read_text()
        for old, new in zip(("LEADUSDT", "FOLBUSDT", "FOLAUSDT"), FRAME.instruments, strict=True):
            text = text.replace(old, new)
        sections[file.stem] = yaml.safe_load(text)
    sections["market"] = market_section()
    sections["datasets"] = {"silent": dataset_section()}
    means = {"family": "mean_of_prices", "parameters": {"steps": PATCH_STEPS, "beside": ["silence"]}}
    sections["models"], sections["ablations"] = {"means": means}, {}
    searched = sections["tuning"]["space"]
    sections["tuning"]["space"] = {path: value for path, value in searched.items() if path.startswith("training.")}
    sections["grid"] |= {"cadence_seconds": 60, "max_gap_seconds": 300}
    narrow = {"step": "drop_wide_spreads", "parameters": {"max_spread_bps": 5.0}}
    sections["order_book"]["steps"].append(narrow)
    if change is not None:
        change(sections)
    folder.mkdir(parents=True)
    for name, section in sections.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(section, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example package was installed into; its sources are copied, so that they stay clean."""
    folder = tmp_path_factory.mktemp("plugins")
    built = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(EXAMPLE, folder / "source", ignore=built)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    where = ["--target", str(folder / "site"), str(folder / "source")]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *where], check=True, cwd=folder)
    return folder / "site"


def call(site: Path, function: Callable[..., Any], *arguments: Path) -> Any:
    """Call a function of this module where the plug-ins are installed; what it returns comes back as JSON."""
    code = (
        "import json, pathlib, sys, trademl_assets_tests.test_plugins as here\n"
        f"found = here.{function.__name__}(*map(pathlib.Path, sys.argv[1:]))\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(site), "TRADEML_VAR": str(site.parent / "var")},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# --- what the processes with the plug-ins do


def where_plugins_come_from() -> dict[str, str]:
    found = {name: registry.get(name) for name, registry in REGISTRIES.items()}
    return {name: getattr(plugin, "builder", None) or plugin.__module__ for name, plugin in found.items()}


def mistakes_of(folder: Path) -> list[str]:
    try:
        load_configuration(folder, os.environ)
    except ConfigError as error:
        return str(error).splitlines()[1:]
    return []


def kinds_named(folder: Path) -> dict[str, str]:
    configuration = load_configuration(folder, os.environ)
    dataset = configuration.datasets["silent"]
    return {
        "source": type(configuration.market.sources["book"].parameters).__name__,
        "step": type(configuration.order_book.steps[-1].parameters).__name__,
        "label": type(dataset.labels.parameters).__name__,
        "stream": type(dataset.streams.additional["silence"].parameters).__name__,
        "model": type(configuration.models["means"].parameters).__name__,
    }


def run_to_the_grid(folder: Path, home: Path) -> dict[str, Any]:
    """Run the deployment through Dagster from the plug-in source to the grid."""
    from trademl_assets.definitions import build_definitions  # noqa: PLC0415 -- Dagster only where it runs
    from trademl_assets.orchestration.session import run_target  # noqa: PLC0415 -- the same

    shutil.copy(PROJECT / "dagster.yaml", home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    os.chdir(home)
    configuration = load_configuration(folder, os.environ)
    run_target(
        configuration, build_definitions(configuration), experiment=None, until="aligned_grid", report=sys.stderr.write
    )
    store = ArtifactStore.at(Path(configuration.platform.storage_root))
    keys = store.partitions("book_snapshots")
    return {
        "spreads": {key: store.require("book_snapshots", key).notes["drop_wide_spreads"] for key in keys},
        "mids": sorted({float(mid) for mid in store.open_arrays("aligned_grid", FIRST.isoformat())["mid"].ravel()}),
    }


def build_and_read(folder: Path, root: Path) -> dict[str, Any]:
    """Build the deployment's dataset from planted grid days, audit it, and have the deployment's model read it."""
    configuration = load_configuration(folder, os.environ)
    store = make_store(root)
    parts = write_experiment(store, "silent", configuration.datasets["silent"])
    report = audit(store, "silent")
    dataset = open_dataset(store, "silent")
    index = parts.index
    return {
        "audit": [finding.rule for finding in report.findings],
        "violations": [finding.rule for finding in report.violations],
        "labels_are_signs": index["label"].to_list() == (index["return_bps"] >= 0).cast(pl.Int8).to_list(),
        "boundaries_bps": parts.recipe["boundaries_bps"],
        "columns": dataset.columns("silence"),
        "silence": dataset.gather("silence", 490, 545)[:, 1].tolist(),
        "model": read_with_model(configuration.models["means"], dataset),
    }


def read_with_model(model: ModelParameters, dataset: Dataset) -> dict[str, Any]:
    from trademl_assets.models.inputs import inputs_of  # noqa: PLC0415 -- torch only where the network runs
    from trademl_assets.training.data import SegmentFeed  # noqa: PLC0415 -- the same

    network = MODELS.get(model.family).build(model.parameters, inputs_of(dataset))
    feed = SegmentFeed(dataset, network)
    batch = feed.batch(feed.stretches("validation", on_stride_only=True))
    scaling = dataset.scaling("silence")
    scaled = (dataset.gather("silence", 0, dataset.steps) - scaling.center) / scaling.scale
    read = feed.features.read(0, dataset.steps)[:, -scaled.shape[1] :].numpy()
    return {
        "streams": network.streams,
        "logits": list(network(batch).shape),
        "decisions": len(batch.rows),
        "silence_is_read": bool(np.allclose(read, np.clip(scaled, -scaling.clip, scaling.clip), atol=1e-6)),
    }


# --- tests


def test_every_kind_of_plug_in_is_found_in_the_installed_package(installed: Path) -> None:
    found = call(installed, where_plugins_come_from)
    assert found == {
        **{name: f"trademl_example_plugin.{name}" for name in REGISTRIES},
        "mean_of_prices": "trademl_example_plugin.mean_of_prices_network:build",
    }


def test_without_the_package_its_names_are_mistakes_at_their_keys(tmp_path: Path) -> None:
    places = "\n".join(mistakes_of(write_deployment(tmp_path / "deployment")))
    for place in (
        "market.yaml: sources.book.kind: unknown source 'repeated_book'",
        "order_book.yaml: steps.2.step: unknown preprocessing step 'drop_wide_spreads'",
        "datasets.yaml: silent.labels.kind: unknown label kind 'sign_of_return'",
        "datasets.yaml: silent.streams.additional.silence.kind: unknown stream kind 'minutes_of_silence'",
        "models.yaml: means.family: unknown model family 'mean_of_prices'",
    ):
        assert place in places


def test_a_deployment_may_name_them_and_their_parameters_are_their_own(installed: Path, tmp_path: Path) -> None:
    folder = write_deployment(tmp_path / "deployment")
    assert call(installed, mistakes_of, folder) == []
    assert call(installed, kinds_named, folder) == {
        "source": "RepeatedBookParameters",
        "step": "DropWideSpreadsParameters",
        "label": "SignOfReturnParameters",
        "stream": "MinutesOfSilenceParameters",
        "model": "MeanOfPricesParameters",
    }


def test_mistakes_in_their_parameters_are_told_with_file_and_key(installed: Path, tmp_path: Path) -> None:
    def spoil(sections: dict[str, Any]) -> None:
        dataset = sections["datasets"]["silent"]
        dataset["labels"]["parameters"] = {"treshold_bps": 0.0}
        dataset["streams"]["additional"]["silence"]["parameters"]["at_most"] = -1.0

    lines = call(installed, mistakes_of, write_deployment(tmp_path / "spoilt", spoil))
    assert [line.split(" ")[1] for line in lines] == [
        "silent.labels.parameters.threshold_bps:",
        "silent.labels.parameters.treshold_bps:",
        "silent.streams.additional.silence.parameters.at_most:",
    ]

    def mute(sections: dict[str, Any]) -> None:
        sections["datasets"]["silent"]["streams"]["additional"] = {}

    (line,) = call(installed, mistakes_of, write_deployment(tmp_path / "mute", mute))
    assert "models.yaml: means.parameters" in line
    assert "silence" in line


def test_a_dataset_is_built_from_them_and_a_model_reads_it(installed: Path, tmp_path: Path) -> None:
    found = call(installed, build_and_read, write_deployment(tmp_path / "deployment"), tmp_path / "store")
    assert found["violations"] == []
    assert "silence: noise after a cut changes nothing before it" in found["audit"]
    assert found["labels_are_signs"]
    assert found["boundaries_bps"] == [0.0]
    assert found["columns"] == ["LEAD:minutes_of_silence", "FOLLOW:minutes_of_silence"]
    missing = [0.0] * 10 + [min(float(minute), 30.0) for minute in range(1, 41)] + [0.0] * 5
    assert found["silence"] == missing
    model = found["model"]
    assert model["streams"] == ["price", "silence"]
    assert model["logits"] == [model["decisions"], 2]
    assert model["silence_is_read"]


def test_a_run_goes_from_their_source_through_their_step_to_the_grid(installed: Path, tmp_path: Path) -> None:
    def shorten(sections: dict[str, Any]) -> None:
        sections["market"]["last_day"] = FIRST
        sections["datasets"] = {}
        sections["models"] = {}

    (tmp_path / "home").mkdir()
    found = call(installed, run_to_the_grid, write_deployment(tmp_path / "deployment", shorten), tmp_path / "home")
    assert found["spreads"] == {f"{FIRST}|{name}": {"left_out": 0} for name in sorted(FRAME.instruments)}
    assert found["mids"] == [100.0]
