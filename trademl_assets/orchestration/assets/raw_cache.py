"""What becomes of raw rows once their snapshots are there: most are removed, a sample is kept and logged."""

from trademl_assets.configuration.platform import RawCacheParameters
from trademl_assets.orchestration.batch import Work
from trademl_assets.orchestration.catalog import BOOK_SNAPSHOTS, RAW_DEPTH

ROWS = "data"


def release_raw_rows(work: Work, cache: RawCacheParameters) -> None:
    """Remove the raw rows of a day after its committed snapshots were read back, or log them as a sample.

    The manifest of the raw partition stays, with hash and size of what was removed, the counts of its levels and how
    it was extracted.

    Args:
        work: The committed partition of snapshots.
        cache: Which days stay.

    Raises:
        CorruptArtifactError: The snapshots are not what was committed; the raw rows stay.
    """
    work.store.read_table(BOOK_SNAPSHOTS.name, work.key)
    if cache.keeps(work.key):
        work.run.log_file(work.store.file_path(RAW_DEPTH.name, work.key, ROWS), f"diagnostics/{work.key}")
    else:
        work.store.evict(RAW_DEPTH.name, work.key, [ROWS])
