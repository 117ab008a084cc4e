"""The notebook's door: what was materialised, by the names a researcher knows, without Dagster.

Everything reads the deployment that TRADEML_CONFIG names, or the folder that is given.
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from trademl_assets.configuration.model import Configuration
from trademl_assets.configuration.reading import configuration_from_environment, current_environment, load_configuration
from trademl_assets.foundation.calendar import day_start
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore

if TYPE_CHECKING:
    from trademl_assets.datasets.windows import Dataset
    from trademl_assets.training.artifact import TrainedModel


@dataclass(frozen=True)
class Picture:
    """A picture that a notebook shows inline.

    Attributes:
        png: Its bytes.
    """

    png: bytes

    def _repr_png_(self) -> bytes:
        return self.png


def load_book(instrument: str, day: date | str, *, config: Path | None = None, lead_in: bool = False) -> pl.DataFrame:
    """Return the compressed book of one instrument and UTC day, one row an instant (`snapshot_schema`).

    Args:
        instrument: Configured name.
        day: The day, a date or ISO text.
        config: Folder of the deployment; None takes the one that TRADEML_CONFIG names.
        lead_in: Whether the rows before midnight, which fill the day's first steps, are wanted too.

    Raises:
        ConfigError: No such instrument or deployment.
        MissingPartitionError: The day was never materialised; says how to.
        CorruptArtifactError: Its bytes are not those committed.
    """
    configuration = _configuration(config)
    known = configuration.market.instruments_by_name()
    if instrument not in known:
        raise ConfigError(f"no instrument is called {instrument!r} -> one of {', '.join(known)}")
    when = _day(day)
    rows = _store(configuration).read_table("book_snapshots", f"{when.isoformat()}|{instrument}")
    return rows if lead_in else rows.filter(pl.col("ts") >= day_start(when))


def plot_book(instrument: str, day: date | str, *, config: Path | None = None) -> Picture:
    """Draw the quantity of every slot of a day again, as the asset showed it; errors as `load_book`."""
    from trademl_assets.order_book.plots import draw_day_heatmap  # noqa: PLC0415 -- matplotlib is slow to import

    return Picture(draw_day_heatmap(load_book(instrument, day, config=config), instrument, _day(day)))


def export_book(instrument: str, day: date | str, folder: Path, *, config: Path | None = None) -> Path:
    """Write a day as `<instrument>_<day>.npz`: `ts`, `mid` and `book` (T, slots, 4), as `export_arrays` lays them.

    Errors as `load_book`, and StorageError where the file cannot be written.
    """
    from trademl_assets.order_book.compression import export_arrays  # noqa: PLC0415 -- imported where it is used
    from trademl_assets.storage.exports import write_npz  # noqa: PLC0415 -- as above

    return write_npz(
        folder, f"{instrument}_{_day(day).isoformat()}", export_arrays(load_book(instrument, day, config=config))
    )


def open_dataset(experiment: str, *, config: Path | None = None) -> "Dataset":
    """Open the dataset of an experiment: its sample index over memory-mapped streams.

    `open_dataset("…").sample("2024-01-31T12:30")` is one sample, iterating gives them all.

    Raises:
        MissingPartitionError: It, or a partition it is built on, was never built.
        CorruptArtifactError: A partition it is built on has changed.
    """
    from trademl_assets.datasets.windows import open_dataset as open_in  # noqa: PLC0415 -- imported where it is used

    return open_in(_store(_configuration(config)), experiment)


def plot_sample(
    experiment: str,
    t: datetime | str,
    *,
    instrument: str | None = None,
    horizon_seconds: int | None = None,
    config: Path | None = None,
) -> Picture:
    """Draw what a sample's windows show: book, path of the mid, masks, clock.

    Args:
        experiment: Name of the dataset.
        t: Instant of the decision, a datetime or ISO text, UTC where it has no offset.
        instrument: Labelled instrument, where the dataset has several at an instant.
        horizon_seconds: Horizon of the label, where it has several.
        config: Folder of the deployment; None takes the one that TRADEML_CONFIG names.

    Raises:
        ConfigError: No sample, or several, were decided then; otherwise as `open_dataset`.
    """
    from trademl_assets.datasets.sample_plots import draw_sample  # noqa: PLC0415 -- matplotlib is slow to import

    dataset = open_dataset(experiment, config=config)
    return Picture(draw_sample(dataset, dataset.sample(t, instrument=instrument, horizon_seconds=horizon_seconds).row))


def load_model(experiment: str, model: str, *, config: Path | None = None) -> "TrainedModel":
    """Load a trained model, all its seeds, for predictions on the dataset of its experiment.

    Raises:
        MissingPartitionError: It was never trained.
    """
    from trademl_assets.training.artifact import load_trained_model  # noqa: PLC0415 -- torch is slow to import

    return load_trained_model(_store(_configuration(config)), f"{experiment}|{model}")


def _configuration(folder: Path | None) -> Configuration:
    return configuration_from_environment() if folder is None else load_configuration(folder, current_environment())


def _store(configuration: Configuration) -> ArtifactStore:
    return ArtifactStore.at(Path(configuration.platform.storage_root))


def _day(day: date | str) -> date:
    try:
        return day if isinstance(day, date) else date.fromisoformat(day)
    except ValueError as error:
        raise ConfigError(f"{day!r} is no day -> write it as 2024-01-31") from error
