"""The example plug-in package, installed for real beside the platform and named in a deployment's YAML.

What needs the plug-ins runs in a process of its own, whose path has the folder they were installed into; the functions
without `test_` are what those processes call.
"""

import os
from pathlib import Path
from typing import Any

from trademl_assets.configuration.reading import load_configuration
from trademl_assets.datasets.label_kinds import LABELS
from trademl_assets.datasets.stream_kinds import STREAMS
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.registry import MODELS
from trademl_assets.order_book.steps import PREPROCESSING_STEPS
from trademl_assets.sources.contract import SOURCES
from trademl_assets_tests.plugins.deployment import call, write_deployment

REGISTRIES = {
    "repeated_book": SOURCES,
    "drop_wide_spreads": PREPROCESSING_STEPS,
    "sign_of_return": LABELS,
    "minutes_of_silence": STREAMS,
    "mean_of_prices": MODELS,
}


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
