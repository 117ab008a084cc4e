"""A symbol-day out of PostgreSQL: processor time and memory of the client, each contender in processes of its own.

The server's work is not counted: all ask it for the same rows. Memory is the greatest resident set above that of the
same process after its imports; it includes the rows that are returned, without which no way can do.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import psycopg

from benchmarks.market import PROJECT, planted_days
from benchmarks.measure import OURS, Measurement, Outcome, SkippedError, Study
from benchmarks.planted_rows import LEVELS, draw_naively
from trademl_assets.foundation.calendar import day_bounds
from trademl_assets.sources.contract import TALL_SCHEMA, InstrumentParameters
from trademl_assets.sources.sql import SqlDepthParameters, SqlDepthSource
from trademl_assets_tests.postgres import NoServerError, PostgresServer, running_server

ROUNDS = 5
PEER = "read_database"
MOST_CPU_SHARE = 0.25
MOST_PEAK_MB = 200.0
TABLE = "trademl_benchmark_depth"
SECRET = "DEPTH_PASSWORD"  # noqa: S105 -- the name of a variable
SLICE_SECONDS = 3_600
PRICES = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
ABC = InstrumentParameters(
    name="ABC", venue="binance", market="spot", symbol="ABCUSDT", tick_size=0.01, reference_quantity=1.0
)


def benchmark(_folder: Path) -> Study:
    """Fill a table, and let the contenders read it in turns.

    Raises:
        SkippedError: There is no PostgreSQL here.
    """
    try:
        with running_server() as server:
            day = planted_days().day
            height = _fill(server, draw_naively(planted_days()))
            try:
                _one(server, PEER, day)  # the server reads the table from the disk once
                rounds = [{name: _one(server, name, day) for name in _in_turn(n)} for n in range(ROUNDS)]
            finally:
                with server.connect() as connection:
                    connection.execute(f"DROP TABLE {TABLE}")
    except NoServerError as reason:
        raise SkippedError(str(reason)) from reason
    return _told(rounds, height)


def _in_turn(number: int) -> list[str]:
    names = list(CONTENDERS)
    first = number % len(names)
    return names[first:] + names[:first]


def _fill(server: PostgresServer, rows: pl.DataFrame) -> int:
    """Make the table, with an index as its user would have; returns how many rows it holds."""
    text = BytesIO()
    rows.select("ts", pl.lit(ABC.symbol), *list(TALL_SCHEMA)[1:]).write_csv(text, include_header=False)
    prices = ", ".join(f"{name} double precision" for name in PRICES)
    with server.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        connection.execute(
            f"CREATE TABLE {TABLE} (ts timestamptz, symbol text, batch_id bigint, level integer, {prices})"
        )
        with connection.cursor() as cursor, cursor.copy(f"COPY {TABLE} FROM STDIN (FORMAT csv)") as copy:
            copy.write(text.getbuffer())
        connection.execute(f"CREATE INDEX ON {TABLE} (symbol, ts, level)")
        connection.execute(f"VACUUM ANALYZE {TABLE}")
    return rows.height


def _one(server: PostgresServer, name: str, day: date) -> dict[str, float]:
    """Run a contender in a fresh process, which is told by its standard input where the server is."""
    place = {**asdict(server), "certificate": None, "day": day.isoformat()}
    command = [sys.executable, "-m", "benchmarks.extraction", name]
    told = subprocess.run(
        command, input=json.dumps(place), capture_output=True, text=True, check=False, cwd=PROJECT, env=os.environ
    )
    if told.returncode != 0:
        raise RuntimeError(f"{name} failed:\n{told.stderr[-4000:]}")
    found: dict[str, float] = json.loads(told.stdout)
    return found


def _told(rounds: list[dict[str, dict[str, float]]], height: int) -> Study:
    """Check that all brought the same rows, and put the figures beside what was promised."""
    brought = {(found["rows"], found["digest"]) for turn in rounds for found in turn.values()}
    if len(brought) != 1 or rounds[0][OURS]["rows"] != height:
        raise AssertionError(f"the contenders do not bring the same {height} rows: {brought}")

    def figure(name: str, what: str) -> float:
        return median(turn[name][what] for turn in rounds)

    seconds = Measurement({name: [turn[name]["cpu_seconds"] for turn in rounds] for name in CONTENDERS})
    size = f"{height} rows of one symbol-day ({height // LEVELS} snapshots of {LEVELS} levels)"
    lines = [
        "### extraction",
        "",
        f"{size}, {rounds[0][OURS]['result_mb']:.0f} MB as a table; medians of {ROUNDS} rounds",
        "",
        "| contender | client CPU s | wall s | peak MB above the imports | MB after the imports |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {figure(name, 'cpu_seconds'):.2f} | {figure(name, 'wall_seconds'):.2f} "
            f"| {figure(name, 'peak_mb'):.0f} | {figure(name, 'imported_mb'):.0f} |"
            for name in CONTENDERS
        ),
        "",
    ]
    return Study(
        lines,
        [
            Outcome(f"extraction/client_cpu_of_{PEER}", seconds.ratio(PEER), MOST_CPU_SHARE),
            Outcome("extraction/peak_mb", figure(OURS, "peak_mb"), MOST_PEAK_MB),
        ],
    )


def by_source(place: Mapping[str, Any]) -> Callable[[], pl.DataFrame]:
    """The platform's own source."""
    server = {name: place[name] for name in ("host", "port", "database", "user")}
    settings = {
        "dialect": "postgresql",
        "server": {
            **server,
            "password": f"${{{SECRET}}}",
            "tls": "off",
            "ca_file": None,
            "connect_timeout_seconds": 10,
            "statement_timeout_seconds": 60,
            "keepalive_idle_seconds": 30,
            "keepalive_interval_seconds": 10,
            "keepalive_probes": 3,
        },
        "table": {
            "name": [TABLE],
            "symbol": "symbol",
            "equal": {},
            "time": "ts",
            "time_unit": "timestamp",
            "batch": "batch_id",
            "level": "level",
            "first_level": 0,
            "layout": {"by": "level_columns", **{name: name for name in PRICES}},
        },
        "slice_seconds": SLICE_SECONDS,
        "max_rows": 10_000_000,
        "retry": {"attempts": 1, "first_wait_seconds": 1.0, "longest_wait_seconds": 1.0},
        "rereads": 0,
    }
    parameters = SqlDepthParameters.model_validate_json(
        json.dumps(settings), context={"environment": {SECRET: place["password"]}}
    )
    source = SqlDepthSource(parameters, {ABC.name: ABC})
    return lambda: source.extract(ABC, date.fromisoformat(place["day"]), 0)


def by_read_database(place: Mapping[str, Any], *, binary: bool = False) -> Callable[[], pl.DataFrame]:
    """What a user of polars would write."""
    first, end = day_bounds(date.fromisoformat(place["day"]))
    query = (
        f"SELECT {', '.join(TALL_SCHEMA)} FROM {TABLE} WHERE symbol = '{ABC.symbol}' "  # noqa: S608 -- names are ours
        f"AND ts >= '{first.isoformat()}' AND ts < '{end.isoformat()}' ORDER BY ts, level, batch_id"
    )

    def read() -> pl.DataFrame:
        with psycopg.connect(
            host=place["host"],
            port=place["port"],
            dbname=place["database"],
            user=place["user"],
            password=place["password"],
            options="-c timezone=UTC",
        ) as connection:
            return pl.read_database(query, connection.cursor(binary=binary), schema_overrides=dict(TALL_SCHEMA))

    return read


CONTENDERS: Mapping[str, Callable[[Mapping[str, Any]], Callable[[], pl.DataFrame]]] = {
    OURS: by_source,
    PEER: by_read_database,
    "read_database_binary": lambda place: by_read_database(place, binary=True),
}


def main(name: str) -> dict[str, Any]:
    """Read the day once in this process; the place of the server comes by standard input."""
    read = CONTENDERS[name](json.load(sys.stdin))
    imported, cpu, wall = _resident_mb("VmRSS"), _cpu_seconds(), time.perf_counter()
    rows = read()
    cpu, wall, peak = _cpu_seconds() - cpu, time.perf_counter() - wall, _resident_mb("VmHWM")
    return {
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "imported_mb": imported,
        "peak_mb": peak - imported,
        "result_mb": rows.estimated_size("mb"),
        "rows": rows.height,
        "digest": int(rows.hash_rows(seed=1).sum()),
    }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident_mb(line: str) -> float:
    """A line of /proc/self/status in MB; ru_maxrss would begin with what the parent held."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(float(each.split()[1]) for each in text.splitlines() if each.startswith(f"{line}:")) / 1024


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
