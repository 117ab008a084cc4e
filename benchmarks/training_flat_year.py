"""The year of `training_year` with every slot of the books as it is: 1,743 numbers a step, 11 GB as float16.

Features lie on disk at half precision and are read through the page cache. Where this has no room for them an epoch
takes as long as the disk needs for twice as many bytes: each day is read for its own labels and for those of the next.
"""

import os
import shutil
from pathlib import Path

import torch

from benchmarks.made_dataset import ASSETS, LEVELS, STEPS_PER_DAY
from benchmarks.measure import SkippedError, Study
from benchmarks.training_year import TRAINING_DAYS, Year, study_years

YEARS = (Year("window", 180, 60.0, "flat", kept="fp16"), Year("anchored", 30, 40.0, "flat", kept="fp16"))
WITH_BF16 = Year("window", 180, 60.0, "flat", "bf16", kept="fp16")
BYTES_PER_DAY = 2 * STEPS_PER_DAY * ASSETS * (4 * LEVELS + 9)
BESIDE = 1.2
"""Times the features: of disk for what else is written, of memory for the process."""


def benchmark(folder: Path, training_days: int = TRAINING_DAYS) -> Study:
    """Train for two epochs of each kind, at bf16 too where the processor multiplies it.

    Raises:
        SkippedError: Disk or memory has no room for the features.
    """
    needed = BESIDE * training_days * BYTES_PER_DAY
    room = {
        "of disk": shutil.disk_usage(folder).free,
        "of memory": os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") + _cached_bytes(),
    }
    for what, free in room.items():
        if free < needed:
            raise SkippedError(f"it needs {needed / 1e9:.1f} GB {what}, {free / 1e9:.1f} GB are free")
    years = (*YEARS, WITH_BF16) if torch.cpu._is_avx512_bf16_supported() else YEARS  # noqa: SLF001 -- torch tells nobody else
    return study_years("training_flat_year", folder, years, training_days)


def _cached_bytes() -> int:
    """Bytes of the page cache, which give way to others."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["Cached"].split()[0]) * 1024
