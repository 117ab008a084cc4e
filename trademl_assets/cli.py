"""The command line, `trademl check`, `run`, `plan`, `state`, `compare`, `provenance`, …: parses, calls, prints."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trademl_assets.configuration.model import Configuration
from trademl_assets.configuration.reading import configuration_from_environment, current_environment, load_configuration
from trademl_assets.foundation.errors import ConfigError, TradeMLError
from trademl_assets.foundation.log import configure_logging
from trademl_assets.foundation.uncollected import uncollected

CONSOLE = Console()
_HOME = "DAGSTER_HOME"
_LONGEST_LINE = 1 << 30  # only the beginning is read


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Arguments after the program's name; None takes those of the process.

    Returns:
        Exit status: 0 done, 1 something failed while running, 2 the configuration or the request is wrong.
    """
    options = _parser().parse_args(arguments)
    configure_logging(
        "INFO", lambda record: not hasattr(record, "dagster_meta")
    )  # a run's own lines have a logger there
    logging.getLogger("trademl_assets.tracking").setLevel(logging.WARNING)
    try:
        return int(options.command(options))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except TradeMLError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trademl", description="From raw order-book rows to calibrated probabilities."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser("check", help="validate a configuration folder without running anything")
    check.add_argument("folder", type=Path, help="folder with one YAML file a section, for example configs/demo")
    check.set_defaults(command=_check)
    run = commands.add_parser("run", help="make everything stale that an experiment needs")
    plan = commands.add_parser("plan", help="say what would be made, and why")
    state = commands.add_parser("state", help="what is materialised")
    for command, function in ((run, _run), (plan, _plan)):
        command.add_argument(
            "experiment", nargs="?", help="experiment of datasets.yaml; without one, all partitions of --until"
        )
        command.add_argument("--until", metavar="ASSET", help="stop after this asset")
        command.set_defaults(command=function)
    state.set_defaults(command=_state)
    export = commands.add_parser("export", help="write the compressed book of a day as npz, for other programs")
    export.add_argument("instrument", help="configured name of the instrument")
    export.add_argument("day", help="UTC day, as 2024-01-31")
    export.add_argument("folder", type=Path, help="folder of the file, which is called <instrument>_<day>.npz")
    export.set_defaults(command=_export)
    recognise = commands.add_parser("recognise", help="say which known format a file of books is")
    recognise.add_argument("file", type=Path, help="the file")
    recognise.set_defaults(command=_recognise)
    diff = commands.add_parser("diff", help="what two datasets do not have in common: recipe, data, statistics")
    diff.add_argument("left", help="experiment whose dataset is compared")
    diff.add_argument("right", help="experiment that it is compared with")
    diff.add_argument("--against", type=Path, metavar="FOLDER", help="configuration folder of the second, if another")
    diff.set_defaults(command=_diff)
    compare = commands.add_parser(
        "compare", help="what changed between two evaluations: scores, configuration, data, code"
    )
    compare.add_argument("first", help="experiment/model, or with the number of an evaluation experiment/model@2")
    compare.add_argument(
        "second", nargs="?", help="the later one; without it, the first is compared with the one before it"
    )
    compare.add_argument("--json", action="store_true", help="everything as JSON")
    compare.set_defaults(command=_compare)
    provenance = commands.add_parser("provenance", help="what something was made from, down to the sources, verified")
    provenance.add_argument(
        "target", help="asset/partition, experiment/model, or a file of a partition or a copy of it"
    )
    provenance.add_argument("--full", action="store_true", help="every partition with its content hash")
    provenance.add_argument("--json", action="store_true", help="everything as JSON")
    provenance.set_defaults(command=_provenance)
    for command in (run, plan, state, export, diff, compare, provenance):
        command.add_argument(
            "--config", type=Path, metavar="FOLDER", help="configuration folder, in place of TRADEML_CONFIG"
        )
    return parser


def _check(options: argparse.Namespace) -> int:
    configuration = load_configuration(options.folder, current_environment())
    experiments = ", ".join(sorted(configuration.datasets))
    _say(f"{options.folder} is valid: deployment {configuration.platform.name}, experiments {experiments}")
    return 0


def _run(options: argparse.Namespace) -> int:
    configuration = _configuration(options)
    _enter_home()
    with uncollected():
        from trademl_assets.definitions import build_definitions  # noqa: PLC0415 -- Dagster starts once the configuration is right
        from trademl_assets.orchestration.session import run_target  # noqa: PLC0415 -- as above

        definitions = build_definitions(configuration)
    run_target(configuration, definitions, experiment=options.experiment, until=options.until, report=_say)
    return 0


def _plan(options: argparse.Namespace) -> int:
    with uncollected():
        from trademl_assets.orchestration.session import plan_target  # noqa: PLC0415 -- as above

    for line in plan_target(_configuration(options), options.experiment, options.until):
        _say(line)
    return 0


def _state(options: argparse.Namespace) -> int:
    from trademl_assets.orchestration.session import target_states  # noqa: PLC0415 -- as above

    table = Table("asset", "partitions", "made", "stale", "rows", "MB")
    for each in target_states(_configuration(options)):
        cells = (each.partitions, each.materialised, each.stale, each.rows, f"{each.megabytes:.1f}")
        table.add_row(each.asset, *(str(cell) for cell in cells))
    CONSOLE.print(table)
    return 0


def _diff(options: argparse.Namespace) -> int:
    from trademl_assets.datasets.differences import differences  # noqa: PLC0415 -- tables are slow to import
    from trademl_assets.notebook import open_dataset  # noqa: PLC0415 -- as above

    left = open_dataset(options.left, config=options.config)
    found = differences(left, open_dataset(options.right, config=options.against or options.config))
    if not found:
        _say(f"{options.left} and {options.right} are the same")
        return 0
    table = Table("", "what", options.left, options.right)
    for each in found:
        table.add_row(each.section, each.name, each.left, each.right)
    CONSOLE.print(table)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from trademl_assets.evaluation.changes_text import describe_changes, metric_rows  # noqa: PLC0415 -- as above
    from trademl_assets.orchestration.session import compare_models  # noqa: PLC0415 -- as above

    found = compare_models(_configuration(options), options.first, options.second)
    if options.json:
        sys.stdout.write(json.dumps(found.as_dict(), indent=1, sort_keys=True) + "\n")
        return 0
    table = Table("score", found.before, found.after, "difference", f"{found.confidence:.0%} interval")
    for row in metric_rows(found):
        table.add_row(*row)
    CONSOLE.print(table)
    for line in describe_changes(found):
        _say(line)
    return 0


def _provenance(options: argparse.Namespace) -> int:
    from trademl_assets.evaluation.provenance import describe_chain  # noqa: PLC0415 -- tables are slow to import
    from trademl_assets.orchestration.provenance import trace_target  # noqa: PLC0415 -- as above

    chain = trace_target(_configuration(options), options.target)
    if options.json:
        sys.stdout.write(json.dumps(chain.as_dict(), indent=1, sort_keys=True) + "\n")
        return 0 if chain.is_intact else 1
    table = Table("asset", "partitions", "first", "last", "verified", "changed", "missing", "rows removed after use")
    for each in chain.summaries():
        counts = (each.verified, each.changed, each.missing, each.evicted)
        table.add_row(each.asset, str(each.partitions), each.first, each.last, *map(str, counts))
    CONSOLE.print(table)
    for line in describe_chain(chain, full=options.full):
        _say(line)
    return 0 if chain.is_intact else 1


def _export(options: argparse.Namespace) -> int:
    from trademl_assets.notebook import export_book  # noqa: PLC0415 -- tables are slow to import

    _say(str(export_book(options.instrument, options.day, options.folder, config=options.config)))
    return 0


def _recognise(options: argparse.Namespace) -> int:
    from trademl_assets.sources.capped_reading import ReadingCaps  # noqa: PLC0415 -- tables are slow to import
    from trademl_assets.sources.formats.recognise import recognise  # noqa: PLC0415 -- as above

    caps = ReadingCaps(file_bytes=sys.maxsize, line_bytes=_LONGEST_LINE)
    found = recognise(options.file, str(options.file), caps)
    advice = found.refusal or (f"kind {found.kind}" if found.kind else "no kind reads it")
    _say(f"{found.seen} -> {advice}")
    return 0 if found.kind else 1


def _configuration(options: argparse.Namespace) -> Configuration:
    if options.config is None:
        return configuration_from_environment()
    return load_configuration(options.config, current_environment())


def _enter_home() -> None:
    """Go where dagster.yaml lies: the paths in it are relative, so that a checkout may be moved with its history."""
    home = current_environment().get(_HOME, "")
    if not home:
        raise ConfigError(
            f"environment variable {_HOME} is not set -> export it as the folder of dagster.yaml "
            "(`. ./environment.sh` does)"
        )
    if not (Path(home) / "dagster.yaml").is_file():
        raise ConfigError(f"{home}: holds no dagster.yaml -> export {_HOME} as the folder that does")
    os.chdir(home)


def _say(line: str) -> None:
    CONSOLE.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
