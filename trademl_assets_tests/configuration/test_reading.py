"""Every configuration mistake is one readable line, found before anything runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trademl_assets.configuration.reading import configuration_from_environment, load_configuration
from trademl_assets.foundation.errors import ConfigError
from trademl_assets_tests.conftest import PROJECT

ENVIRONMENT = {"TRADEML_VAR": "/var/lib/trademl", "TRADEML_DATA": "/data"}
SHIPPED = sorted(folder.name for folder in (PROJECT / "configs").iterdir() if folder.is_dir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "deployment"
    shutil.copytree(PROJECT / "configs" / "demo", copy)
    return copy


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text()
    assert old in text, f"{old!r} is not in {file}"
    path.write_text(text.replace(old, new, 1))


def mistakes(folder: Path, environment: dict[str, str] = ENVIRONMENT) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_configuration(folder, environment)
    head, *lines = str(caught.value).splitlines()
    return lines or [head]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_is_valid(name: str) -> None:
    configuration = load_configuration(PROJECT / "configs" / name, ENVIRONMENT)
    assert configuration.platform.storage_root.startswith("/var/lib/trademl/")


def test_fingerprint_does_not_depend_on_where_folders_lie() -> None:
    demo = PROJECT / "configs" / "demo"
    here, there = (load_configuration(demo, {"TRADEML_VAR": root}) for root in ("/a", "/b"))
    assert here.platform.storage_root != there.platform.storage_root
    assert here.fingerprint() == there.fingerprint()


def test_section_fingerprint_changes_with_its_section_alone(folder: Path) -> None:
    before = load_configuration(folder, ENVIRONMENT)
    edit(folder, "grid.yaml", "max_gap_seconds: 60", "max_gap_seconds: 50")
    after = load_configuration(folder, ENVIRONMENT)
    assert after.grid.fingerprint() != before.grid.fingerprint()
    assert after.market.fingerprint() == before.market.fingerprint()


Edit = Callable[[Path], None]


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "grid.yaml",
            "max_gap_seconds",
            "max_gap_second",
            ["grid.yaml: max_gap_second: unknown key", "remove the key"],
        ),
        (
            "grid.yaml",
            "max_gap_seconds: 60\n",
            "",
            ["grid.yaml: max_gap_seconds: required key is missing", "add the key"],
        ),
        ("grid.yaml", "max_gap_seconds: 60", 'max_gap_seconds: "60"', ["grid.yaml: max_gap_seconds", "valid integer"]),
        (
            "grid.yaml",
            "cadence_seconds: 10",
            "cadence_seconds: 7",
            ["grid.yaml: cadence_seconds", "do not divide a day"],
        ),
        ("grid.yaml", "method: forward_fill", "method: linear_interpolate", ["grid.yaml: method", "forward_fill"]),
        (
            "market.yaml",
            "kind: planted_market",
            "kind: planted",
            ["market.yaml: sources.planted.kind", "planted_market"],
        ),
        (
            "models.yaml",
            "family: dual_channel",
            "family: dual",
            ["models.yaml: dual_channel.family", "one of dual_channel"],
        ),
        (
            "tuning.yaml",
            "model.history.width",
            "model.history.widht",
            ["tuning.yaml: space.model.history.widht", "widht"],
        ),
        ("tuning.yaml", "low: 16", "low: 30", ["tuning.yaml: space.model.history.width", "outside its search range"]),
        ("datasets.yaml", "mask: {lookback: P1D}", "mask: null", ["models.yaml: dual_channel.parameters.mask", "demo"]),
        ("market.yaml", "signal: 0.2", "signal: -0.2", ["market.yaml: sources.planted.parameters.drift.signal"]),
        (
            "market.yaml",
            "signal: 0.2",
            "signals: 0.2",
            ["market.yaml: sources.planted.parameters.drift.signal", "unknown"],
        ),
        ("market.yaml", "last_day: 2024-02-09", "last_day: 2023-02-09", ["market.yaml", "days must ascend"]),
        ("market.yaml", "depth_source: planted", "depth_source: null", ["market.yaml", "depth_source is null"]),
        ("datasets.yaml", "target: FOLAUSDT", "target: NOPE", ["datasets.yaml: demo", "'NOPE'"]),
        (
            "datasets.yaml",
            "horizons_seconds: [1800]",
            "horizons_seconds: [1805]",
            ["demo.labels.horizons_seconds", "multiple"],
        ),
        (
            "datasets.yaml",
            "decision_phase_seconds: 0",
            "decision_phase_seconds: 5",
            ["demo.labels.decision_phase_seconds", "multiple"],
        ),
        (
            "datasets.yaml",
            (
                "kind: price_classes\n    parameters:\n      boundaries: {kind: fixed, edges_bps: "
                "[-60, -30, -12, 0, 12, 30, 60]}"
            ),
            (
                "kind: given\n    parameters: {series: absent, span_seconds: 60, max_age_seconds: 0, "
                "classes: [{name: a, value: 0.0}, {name: b, value: 1.0}]}"
            ),
            ["demo.labels.parameters", "reads the external series 'absent'"],
        ),
        (
            "datasets.yaml",
            "boundaries: {kind: fixed, edges_bps: [-60, -30, -12, 0, 12, 30, 60]}",
            "boundaries: {kind: volatility_scaled, multiples: [-1, 1]}",
            ["models.yaml: dual_channel.parameters.head", "distribution forecasts the return", "demo"],
        ),
        ("ablations.yaml", "of: dual_channel", "of: triple", ["ablations.yaml: returns_only.of", "dual_channel"]),
        ("ablations.yaml", "book: null", "bok: null", ["ablations.yaml: returns_only.parameters.bok", "Extra inputs"]),
        (
            "ablations.yaml",
            "book: null",
            "book: {kind: bands}",
            ["returns_only.parameters", "leave dual_channel as it is"],
        ),
        ("ablations.yaml", "returns_only", "dual_channel", ["ablations.yaml: dual_channel", "another name"]),
        ("datasets.yaml", "length: P24D", "length: a month", ["datasets.yaml: demo.split.blocks.0.length"]),
        (
            "long_term.yaml",
            "LEADUSDT",
            "BTCUSDT",
            ["long_term.yaml: regimes.reference_instrument", "'BTCUSDT'", "LEADUSDT"],
        ),
        (
            "order_book.yaml",
            "near_market_levels: 50",
            "near_market_levels: 40",
            ["market.yaml: sources.planted", "order_book.yaml"],
        ),
        ("platform.yaml", "owner: team:research", "owner: nobody", ["platform.yaml: owner"]),
        ("platform.yaml", "name: demo", "name: ${TRADEML_VAR}", ["platform.yaml: name: takes no ${NAME}"]),
        ("platform.yaml", "name: demo", "name: demo\nname: twice", ["platform.yaml, line", "'name' stands twice"]),
        ("platform.yaml", "name: demo", "name: [demo", ["platform.yaml, line", "correct the YAML"]),
    ],
)
def test_mistake_is_one_line_with_file_key_and_remedy(
    folder: Path, file: str, old: str, new: str, expected: list[str]
) -> None:
    edit(folder, file, old, new)
    lines = mistakes(folder)
    joined = "\n".join(lines)
    assert all(part in joined for part in expected), joined
    assert all("->" in line for line in lines), joined


def test_all_mistakes_are_told_together(folder: Path) -> None:
    edit(folder, "grid.yaml", "max_gap_seconds", "max_gap_second")
    edit(folder, "platform.yaml", "owner: team:research", "owner: nobody")
    assert len(mistakes(folder)) == 3


def test_missing_variable_is_named_and_its_remedy_told(folder: Path) -> None:
    lines = mistakes(folder, {})
    assert any("storage_root: environment variable TRADEML_VAR is not set" in line for line in lines)
    assert all("export the variable" in line for line in lines)


def test_missing_file_is_told(folder: Path) -> None:
    (folder / "grid.yaml").unlink()
    assert mistakes(folder) == ["grid.yaml: required file is missing -> add the file"]


def test_unknown_file_is_told(folder: Path) -> None:
    (folder / "gird.yaml").write_text("a: 1\n")
    assert mistakes(folder) == ["gird.yaml: unknown file -> remove the file or correct its name"]


def test_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    assert "no such configuration folder" in mistakes(tmp_path / "nowhere")[0]


def test_unset_choice_of_deployment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRADEML_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="TRADEML_CONFIG is not set"):
        configuration_from_environment()


def test_exponents_without_a_point_are_numbers(folder: Path) -> None:
    edit(folder, "datasets.yaml", "constant_below: 1.0e-6", "constant_below: 1e-6")
    assert load_configuration(folder, ENVIRONMENT).datasets["demo"].scaling.constant_below == 1e-6


def test_an_experiment_takes_over_what_another_states_and_changes_single_keys(folder: Path) -> None:
    edit(folder, "datasets.yaml", "\ndemo:\n", "\ndemo: &demo\n")
    edit(folder, "datasets.yaml", "  labels:\n", "  labels: &labels\n")
    coarse = "{boundaries: {kind: fixed, edges_bps: [-12, 0, 12]}}"
    path = folder / "datasets.yaml"
    path.write_text(path.read_text() + f"coarse:\n  <<: *demo\n  labels: {{<<: *labels, parameters: {coarse}}}\n")
    found = load_configuration(folder, ENVIRONMENT).datasets
    assert list(found) == ["demo", "coarse"]
    assert found["coarse"].split == found["demo"].split
    assert found["coarse"].labels.horizons_seconds == found["demo"].labels.horizons_seconds
    assert found["coarse"].labels.parameters.model_dump()["boundaries"]["edges_bps"] == (-12, 0, 12)
