"""The notebook's door on what a deployment has made."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import trademl_assets
from trademl_assets import load_book, load_model, open_dataset, plot_book, plot_sample
from trademl_assets.foundation.calendar import day_start
from trademl_assets.foundation.errors import ConfigError, MissingPartitionError
from trademl_assets_tests.orchestration.conftest import World


@pytest.fixture
def deployment(made_world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the configuration that the tiny market was made with."""
    root = Path(made_world.configuration.platform.storage_root).parents[2]
    monkeypatch.setenv("TRADEML_VAR", str(root / "var"))
    monkeypatch.setenv("TRADEML_CONFIG", str(root / "config"))
    return root / "config"


def test_a_book_is_the_committed_day_without_its_lead_in(made_world: World, deployment: Path):
    committed = made_world.store.read_table("book_snapshots", "2024-01-03|FOLAUSDT")
    whole = load_book("FOLAUSDT", "2024-01-03", lead_in=True)
    assert whole.equals(committed)
    day = load_book("FOLAUSDT", date(2024, 1, 3), config=deployment)
    assert day.equals(committed.filter(pl.col("ts") >= day_start(date(2024, 1, 3))))
    assert 0 < day.height < committed.height


def test_a_day_is_drawn_again_as_the_notebook_shows_it(deployment: Path):
    picture = plot_book("FOLAUSDT", "2024-01-03")
    assert picture._repr_png_().startswith(b"\x89PNG")


def test_a_dataset_opens_by_the_name_of_its_experiment(deployment: Path):
    dataset = open_dataset("demo")
    assert dataset.target == "FOLAUSDT"
    first = next(iter(dataset))
    assert dataset.sample(first.t0).row == first.row == 0
    assert plot_sample("demo", first.t0.isoformat())._repr_png_().startswith(b"\x89PNG")


def test_what_is_not_there_is_said_with_its_remedy(deployment: Path):
    with pytest.raises(ConfigError, match="no instrument is called 'BTC' -> one of LEADUSDT"):
        load_book("BTC", "2024-01-03")
    with pytest.raises(ConfigError, match="write it as 2024-01-31"):
        load_book("FOLAUSDT", "3 January")
    with pytest.raises(MissingPartitionError, match="materialise book_snapshots"):
        load_book("FOLAUSDT", "2024-01-31")
    with pytest.raises(MissingPartitionError, match="trained_model"):
        load_model("demo", "dual_channel")


def test_the_door_opens_no_room_before_it_is_used():
    code = "import sys, trademl_assets; sys.exit(any(n in sys.modules for n in ('polars', 'torch', 'dagster')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'load_everything'"):
        trademl_assets.load_everything  # noqa: B018 -- asking for it is the test
