"""A deployment of candles alone: the files of configs/real_candles with two instruments and bars made for the test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from trademl_assets_tests.conftest import PROJECT
from trademl_assets_tests.datasets.candle_market import NAMES, three_days
from trademl_assets_tests.orchestration.conftest import merged

REAL = PROJECT / "configs" / "real_candles"
EXPERIMENT = "minutes"
KEYS = tuple(f"2024-03|{name}" for name in NAMES)


def write_bars(folder: Path, tables: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    return {name: str(folder / f"{name}.parquet") for name in tables}


def write_candle_deployment(root: Path, *changes: Mapping[str, Any]) -> Path:
    """Write bars and configuration below `root`, return the folder of the latter; a stream that is None is left out."""
    files = write_bars(root / "bars", three_days())
    sections = {file.stem: yaml.safe_load(file.read_text()) for file in sorted(REAL.glob("*.yaml"))}
    for change in (_small(sections, files), *changes):
        sections = {name: merged(section, change.get(name, {})) for name, section in sections.items()}
    streams = sections["datasets"][EXPERIMENT]["streams"]
    streams["additional"] = {name: one for name, one in streams["additional"].items() if one is not None}
    folder = root / "config"
    folder.mkdir()
    for name, section in sections.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(section, sort_keys=False))
    return folder


def _small(sections: Mapping[str, Any], files: Mapping[str, str]) -> Mapping[str, Any]:
    first, *_ = sections["market"]["instruments"]
    (dataset,) = sections["datasets"].values()
    sections["datasets"].clear()
    sections["market"]["sources"]["minutes"]["parameters"]["files"].clear()
    days = dict.fromkeys(("history_first_day", "first_day", "tall_rows_from"), "2024-03-04")
    blocks = {"train": "P1D", "validation": "PT12H", "calibration": "PT12H", "test": "P1D"}
    references = dict.fromkeys(NAMES, 10.0)
    small = {
        "target": "ONE",
        "instruments": list(NAMES),
        "first_day": "2024-03-04",
        "last_day": "2024-03-06",
        "minimum_history": "PT3H",
        "labels": {"horizons_seconds": [600], "decision_stride_seconds": 600, "training_phase_seconds": 600},
        "split": {"blocks": [{"part": part, "length": span} for part, span in blocks.items()]},
        "streams": {
            "additional": {
                "bars": {**dataset["streams"]["additional"]["bars"], "parameters": {"reference_volumes": references}}
            }
        },
        "audit": {
            "random_cuts": 50,
            "edge_cuts_at_most": 10,
            "raw_cuts": 2,
            "raw_reach": "PT1H",
            "raw_whole_day_cuts": 1,
        },
    }
    time = {"column": "ts", "unit": "sniff", "zone": None}
    columns = {"trades": "trades", "taker_buy_volume": "taker_buy_volume"}
    return {
        "market": {
            "instruments": [{**first, "name": name, "symbol": f"{name}USDT"} for name in NAMES],
            **days,
            "last_day": "2024-03-06",
            "sources": {"minutes": {"parameters": {"time": time, "columns": columns, "files": dict(files)}}},
        },
        "grid": {"required_instruments": ["ONE"]},
        "long_term": {"regimes": {"reference_instrument": "ONE"}},
        "datasets": {EXPERIMENT: merged(dataset, small)},
        "training": {"seeds": [1], "max_epochs": 1, "threads": 1},
        "evaluation": {"bootstrap_replicates": 100, "excess_replicates": 100, "minimum_effective_test": 50},
    }
