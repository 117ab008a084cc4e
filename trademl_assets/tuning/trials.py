"""A study in its database: which trial has which number, which are settled, and what becomes of dead processes'.

Optuna numbers everything that was ever begun. Ours counts what is wanted: a trial that was lost and begun again keeps
its number, and one begun by two workers beyond the last number has none.
"""

import contextlib
import datetime as dt
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
import sqlalchemy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from trademl_assets.foundation.errors import StorageError
from trademl_assets.storage.locking import locked_if_free
from trademl_assets.tuning.parameters import DIRECTIONS, StudyParameters

WORKER = "worker"
SURPLUS = "surplus"
OUTCOME = "outcome"
FAILURE = "failure"
SUBJECT = "subject"
WARM_START = "warm_start"
_SETTLED = (TrialState.COMPLETE, TrialState.PRUNED)
_FILE = "study.db"
_TABLES_LOCK = 7_301_955
"""Any number, the same for everybody."""


def database_url(parameters: StudyParameters, scratch: Path) -> str:
    """Return where the study is kept: the stated server, or a file in the scratch folder.

    Raises:
        ConfigError: The variable that holds the address is not set.
    """
    if parameters.database is None:
        return f"sqlite:///{scratch / _FILE}"
    url = parameters.database.resolve().get_secret_value()
    scheme, rest = url.split("://", 1)
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else url


def open_study(parameters: StudyParameters, url: str, name: str) -> optuna.Study:
    """Open a study, made where there is none of this name."""
    return optuna.create_study(
        storage=open_storage(parameters, url),
        study_name=name,
        directions=[DIRECTIONS[each] for each in parameters.objectives],
        load_if_exists=True,
    )


def open_storage(parameters: StudyParameters, url: str) -> optuna.storages.RDBStorage:
    """Open the database of studies.

    Raises:
        StorageError: It cannot be reached or read.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    embedded = url.startswith("sqlite")
    try:
        with contextlib.nullcontext() if embedded else _one_at_a_time(url):
            return optuna.storages.RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": parameters.database_timeout_seconds}} if embedded else {},
                heartbeat_interval=parameters.heartbeat_seconds,
                grace_period=parameters.heartbeat_grace_seconds,
                heartbeat_stale_trial_callback=partial(retry, at_most=parameters.retries_at_most),
            )
    except sqlalchemy.exc.SQLAlchemyError as error:
        where = sqlalchemy.make_url(url).render_as_string(hide_password=True)
        raise StorageError(
            f"the database of studies {where} cannot be opened: {type(error).__name__}: {error} -> start it, or "
            "write database: null in tuning.yaml"
        ) from None


@contextlib.contextmanager
def _one_at_a_time(url: str) -> Iterator[None]:
    """Hold a lock of the server: two machines that make Optuna's tables at once would be in each other's way."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": _TABLES_LOCK})
            try:
                yield
            finally:
                connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), {"key": _TABLES_LOCK})
    finally:
        engine.dispose()


@dataclass(frozen=True)
class Place:
    """One number of a study.

    Attributes:
        index: The number, from 0.
        trial: The trial that settles it, else the latest one begun for it.
        state: `settled`, `running`, `waiting` to be begun again, or `lost`: begun as often as is allowed, or its
            process ended by an error and nobody began it again yet.
    """

    index: int
    trial: FrozenTrial
    state: str


def number_trials(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """Return the number of each trial that has one, by Optuna's number."""
    numbers: dict[int, int] = {}
    following = 0
    for trial in sorted(trials, key=lambda each: each.number):
        original = trial.system_attrs.get("failed_trial")
        if original is not None:
            if original in numbers:
                numbers[trial.number] = numbers[original]
        elif not trial.user_attrs.get(SURPLUS):
            numbers[trial.number] = following
            following += 1
    return numbers


def places(study: optuna.Study) -> list[Place]:
    """Return everything that was begun, in the order of the numbers."""
    trials = study.get_trials(deepcopy=False)
    numbers = number_trials(trials)
    by_number = {trial.number: trial for trial in trials}
    begun: dict[int, list[FrozenTrial]] = {}
    for number, index in numbers.items():
        begun.setdefault(index, []).append(by_number[number])
    return [_place(index, tried) for index, tried in sorted(begun.items())]


def _place(index: int, tried: Sequence[FrozenTrial]) -> Place:
    for states, name in ((_SETTLED, "settled"), ((TrialState.RUNNING,), "running"), ((TrialState.WAITING,), "waiting")):
        found = [trial for trial in tried if trial.state in states]
        if found:
            return Place(index, found[0], name)
    return Place(index, tried[-1], "lost")


def release_dead(study: optuna.Study, parameters: StudyParameters, workers: Path) -> int:
    """Give up the trials of processes of this machine that are dead, and queue them again.

    A process is dead when the lock of its folder below `workers` is free. A trial that was begun by nobody, because its
    process was killed in the moment between, is given up after the heartbeat's grace.

    Returns:
        How many trials were given up.
    """
    dead = set()
    for folder in sorted(workers.glob("*")):
        with locked_if_free(folder) as is_free:
            if is_free:
                dead.add(folder.name)
    grace = dt.timedelta(seconds=parameters.heartbeat_grace_seconds)
    now = dt.datetime.now()  # noqa: DTZ005 -- Optuna keeps local time without a zone
    given_up = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get(WORKER)
        is_nobodys = worker is None and trial.datetime_start is not None and now - trial.datetime_start > grace
        if worker in dead or is_nobodys:
            with contextlib.suppress(UpdateFinishedTrialError, ValueError):  # somebody else was faster
                study.tell(trial.number, state=TrialState.FAIL)
                retry(study, trial, at_most=parameters.retries_at_most)
                given_up += 1
    return given_up


def remove_dead(workers: Path) -> None:
    """Remove the folders of dead processes, once none is started any more."""
    for folder in workers.glob("*"):
        with locked_if_free(folder) as is_free:
            if is_free:
                shutil.rmtree(folder, ignore_errors=True)


def living_workers(workers: Path) -> int:
    """Count the processes of this machine that work on the study."""
    living = 0
    for folder in workers.glob("*"):
        with locked_if_free(folder) as is_free:
            living += not is_free
    return living


def retry_lost(study: optuna.Study, parameters: StudyParameters) -> None:
    """Queue the trials again that ended by an error of their process, as often as is allowed."""
    for place in places(study):
        if place.state == "lost":
            retry(study, place.trial, at_most=parameters.retries_at_most)


def retry(study: optuna.Study, trial: FrozenTrial, *, at_most: int) -> None:
    """Queue a trial again with the values it had, unless it was begun as often as is allowed.

    As Optuna's RetryHeartbeatStaleTrialCallback, but the new trial does not name the dead process as its own.
    """
    history = [*trial.system_attrs.get("retry_history", []), trial.number]
    if len(history) > at_most:
        return
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs={**trial.system_attrs, "failed_trial": history[0], "retry_history": history},
        )
    )
