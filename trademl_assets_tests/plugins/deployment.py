"""A deployment that names the plug-ins of the example package, and processes that have these installed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from trademl_assets_tests.conftest import PROJECT
from trademl_assets_tests.datasets.conftest import FRAME
from trademl_assets_tests.datasets.examples import FIRST, stated

DEMO = PROJECT / "configs" / "demo"
PATCH_STEPS = 5


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


def call(site: Path, function: Callable[..., Any], *arguments: Path) -> Any:
    """Call a function of a module where the plug-ins are installed; what it returns comes back as JSON."""
    code = (
        f"import json, pathlib, sys, {function.__module__} as here\n"
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


def shorten(sections: dict[str, Any]) -> None:
    """Leave one day of books and nothing that is made of them but the grid."""
    sections["market"]["last_day"] = FIRST
    sections["datasets"] = {}
    sections["models"] = {}
