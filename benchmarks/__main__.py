"""`python -m benchmarks [name…]`: runs the benchmarks, ends with a line a promise; status 1 when one is short."""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.measure import Benchmark, Outcome, SkippedError, Study, measure, outcomes, status, table

THREADS = "2"
BENCHMARKS = (
    "compression",
    "storing",
    "alignment",
    "daily_moments",
    "purging",
    "bootstrap",
    "certify_tests",
    "extraction",
    "windows",
    "segments",
    "small_windows",
    "opening",
    "planted_rows",
    "training",
    "training_year",
    "training_flat_year",
    "training_precision",
    "deeplob_network",
    "first_step",
    "training_gpu",
    "binance_rebuild",
    "study_trials",
    "dagster_backfill",
)


def run(benchmarks: Mapping[str, Callable[[Path], Benchmark | Study]], say: Callable[[str], None]) -> int:
    """Run benchmarks, show their tables and, at the end, a line a promise.

    Args:
        benchmarks: What makes each benchmark in a folder of its own, by name.
        say: Shows a line.

    Returns:
        Exit status: 0 when every promise is kept, 1 otherwise.
    """
    found: list[Outcome] = []
    skipped = []
    for name, make in benchmarks.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                study = _studied(make(Path(folder)))
            except SkippedError as reason:
                skipped.append(f"{name} skipped: {reason}")
                continue
        for line in study.lines:
            say(line)
        found += study.outcomes
    for line in [*skipped, *(outcome.line() for outcome in found)]:
        say(line)
    return status(found)


def _studied(made: Benchmark | Study) -> Study:
    """Run a benchmark; what was studied already is passed on."""
    if isinstance(made, Study):
        return made
    measurement = measure(made)
    return Study(table(made, measurement), outcomes(made, measurement))


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, or all."""
    unknown = sorted(set(arguments) - set(BENCHMARKS))
    if unknown:
        print(f"unknown: {', '.join(unknown)} -> choose from {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    # Libraries read these when they are first imported, which is why the benchmarks are imported only now.
    for variable in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, THREADS)
    made = {name: import_module(f"benchmarks.{name}").benchmark for name in arguments or BENCHMARKS}
    return run(made, print)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
