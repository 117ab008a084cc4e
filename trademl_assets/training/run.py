"""The training process: `python -m trademl_assets.training.run spec.json`, behind torchrun where two train together.

With `-` for the specification it imports what is slow while it waits for the file's name, as `waiting` says.

Reads the dataset through the store, trains every member, writes the results into the scratch folder. A member that is
already there, trained from the same specification and dataset, is taken as it is; one that a kill left unfinished goes
on from its last checkpoint, which gives the same bits. A specification of a prediction loads a trained model instead.
"""

import faulthandler
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, open_dagster_pipes
from pydantic import TypeAdapter

from trademl_assets.foundation.uncollected import uncollected

with uncollected():
    from trademl_assets.foundation.errors import TradeMLError, TrainingError
    from trademl_assets.training.leases import occupied
    from trademl_assets.training.lifeline import die_with
    from trademl_assets.training.parameters import TrainingSpec
    from trademl_assets.training.prediction_spec import PredictionSpec
    from trademl_assets.training.results import FAILURE_FILE, append_metrics, describe_failure, write_json
    from trademl_assets.training.waiting import MODULE, WAITS, Order, has_opened_a_card

LAUNCHER_VARIABLE = "TRADEML_LAUNCHER_PID"
CARDS_VARIABLE = "TRADEML_CARDS"


def main(arguments: list[str]) -> int:
    """Run one specification; returns the exit status.

    A process that takes longer than its timeout is ended from outside Python, whatever it hangs in, and its log shows
    where every thread of it stood.
    """
    if not (len(arguments) == 1 or arguments[:1] == [WAITS]):
        sys.stderr.write(f"usage: python -m trademl_assets.training.run spec.json | {WAITS} [whose it is]\n")
        return 2
    launcher = os.environ.get(LAUNCHER_VARIABLE)
    if launcher:
        die_with(int(launcher))
    specification = _awaited() if arguments[0] == WAITS else Path(arguments[0])
    if specification is None:
        return 0
    spec = _read_spec(specification.read_text("utf-8"))
    faulthandler.dump_traceback_later(spec.training.timeout.total_seconds(), exit=True)
    try:
        with ExitStack() as held:
            if CARDS_VARIABLE in os.environ:
                visible = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
                own = visible[int(os.environ.get("LOCAL_RANK", "0"))]
                held.enter_context(occupied(Path(os.environ[CARDS_VARIABLE]), own))
            return _work(spec)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _awaited() -> Path | None:
    """Import what is slow; return the specification that this process is told of, None if it is not wanted.

    Its timeout runs from when it was told, whatever an import hangs in.
    """
    told: Future[Order | None] = Future()
    Thread(target=_listen, args=(told,), name="order", daemon=True).start()
    _import_what_is_slow()
    order = told.result()
    if order is None:
        return None
    os.environ.update(order.environment)
    if (
        CARDS_VARIABLE in os.environ and has_opened_a_card()
    ):  # an import did, and CUDA reads once which ones it may take
        os.execv(sys.executable, [sys.executable, "-m", MODULE, str(order.specification)])  # noqa: S606 -- ourselves
    return order.specification


def _listen(told: "Future[Order | None]") -> None:
    try:
        line = sys.stdin.readline()
        order = Order.read(line) if line else None
        if order is not None:
            stated = json.loads(order.specification.read_text("utf-8"))["training"]["timeout"]
            timeout = TypeAdapter(timedelta).validate_python(stated)
            faulthandler.dump_traceback_later(timeout.total_seconds(), exit=True)
        told.set_result(order)
    except Exception as error:  # noqa: BLE001 -- raised where the result is asked for
        told.set_exception(error)


def _import_what_is_slow() -> None:
    with uncollected():
        from trademl_assets.training import fit, prediction  # noqa: F401, PLC0415 -- by now the process ends with its launcher


def _read_spec(text: str) -> TrainingSpec | PredictionSpec:
    kind = PredictionSpec if json.loads(text).get("mode") == "predict" else TrainingSpec
    return kind.model_validate_json(text)


def _work(spec: TrainingSpec | PredictionSpec) -> int:
    with uncollected():
        import torch  # noqa: PLC0415 -- slow to import: by now the process ends with its launcher and with its timeout

        from trademl_assets.training.fit import fit_members  # noqa: PLC0415 -- as above
        from trademl_assets.training.prediction import predict_part  # noqa: PLC0415 -- as above

    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    torch.set_num_threads(spec.training.threads)
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with _reporter(speaks=rank == 0) as report:
        try:
            if isinstance(spec, PredictionSpec):
                predict_part(spec, report)
            else:
                fit_members(spec, processes=processes, writes=rank == 0, report=_kept(spec, report, writes=rank == 0))
        except TradeMLError as error:
            if rank == 0:
                write_json(Path(spec.output_folder), FAILURE_FILE, describe_failure(error))
            raise
        except (RuntimeError, MemoryError) as error:
            failure = TrainingError(f"{spec.model_name} on {spec.experiment}: {type(error).__name__}: {error}")
            if rank == 0:
                write_json(Path(spec.output_folder), FAILURE_FILE, describe_failure(failure))
            raise failure from error
    return 0


def _kept(
    spec: TrainingSpec, report: Callable[[str, dict[str, Any]], None], *, writes: bool
) -> Callable[[str, dict[str, Any]], None]:
    """Return what keeps the metrics of a line before it hands it on."""

    def keep(line: str, facts: dict[str, Any]) -> None:
        if writes and "step" in facts:
            append_metrics(Path(spec.output_folder), facts)
        report(line, facts)

    return keep


@contextmanager
def _reporter(*, speaks: bool) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Yield what takes a line and its facts: to Dagster where it listens, else to standard output."""
    if not speaks:
        yield lambda _line, _facts: None
    elif DAGSTER_PIPES_CONTEXT_ENV_VAR in os.environ:
        with open_dagster_pipes() as pipes:
            yield lambda line, _facts: pipes.log.info(line)
    else:
        yield lambda line, _facts: print(line, flush=True)  # noqa: T201 -- the process speaks to whoever started it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
