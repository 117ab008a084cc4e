"""From a configuration to a drive on the persistent instance: what the command line calls."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from trademl_assets.configuration.model import Configuration
from trademl_assets.evaluation.changes import Changes
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.summary import summarise
from trademl_assets.foundation.progress import readable_seconds
from trademl_assets.orchestration.catalog import ABLATION_STUDY, LEADERBOARD, MODEL_EVALUATION
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.drive import Drive, Outcome, Report
from trademl_assets.orchestration.evaluation_history import compare_evaluations
from trademl_assets.orchestration.forecast import forecast, forecast_line, measured_costs, readable_bytes
from trademl_assets.orchestration.history import held_open
from trademl_assets.orchestration.partitions import join_key
from trademl_assets.orchestration.planning import plan, wanted
from trademl_assets.orchestration.resources.tracking import StageTracking
from trademl_assets.orchestration.state import AssetState, asset_states
from trademl_assets.storage.commit import ArtifactStore

_KEYS_SHOWN = 3
_OPEN_UI = "make ui, then http://127.0.0.1:3000"


def run_target(
    configuration: Configuration,
    definitions: dg.Definitions,
    *,
    experiment: str | None,
    until: str | None,
    report: Report,
) -> Outcome:
    """Make everything stale that a target needs, and say so line by line.

    Args:
        configuration: The deployment's configuration.
        definitions: Its definitions.
        experiment: The experiment; None means all partitions of `until`.
        until: Last asset, None for all.
        report: Takes lines for the one who watches.

    Raises:
        TradeMLError: A run failed, or the target is not known.
    """
    store = _store(configuration)
    with held_open(), dg.DagsterInstance.get() as instance:
        drive = Drive(
            Deployment.of(configuration),
            definitions,
            instance=instance,
            store=store,
            tracking=StageTracking(configuration.tracking),
            report=report,
        )
        outcome = drive.run(experiment, until)
    made, fresh = sum(outcome.made.values()), sum(outcome.fresh.values())
    for text in closing_words(store, experiment):
        report(text)
    report(f"{made} partition(s) made, {fresh} up to date, in {readable_seconds(outcome.seconds)}")
    return outcome


def closing_words(store: ArtifactStore, experiment: str | None) -> Iterator[str]:
    """Yield the summary of every model of an experiment that has been judged, best first, then what ablations lost.

    Args:
        store: Where the judgements lie.
        experiment: The experiment; None yields nothing.
    """
    if experiment is None or store.manifest(LEADERBOARD.name, experiment) is None:
        return
    for model in store.read_table(LEADERBOARD.name, experiment)["model"]:
        key = join_key(experiment, model)
        judgement = Judgement.from_dict(store.read_json(MODEL_EVALUATION.name, key, "judgement"))
        report = str(store.file_path(MODEL_EVALUATION.name, key, "report"))
        yield summarise(experiment, model, judgement, report, _OPEN_UI)
    study = store.manifest(ABLATION_STUDY.name, experiment)
    if study is not None:
        yield "\n".join([f"{experiment} | ablations", *(f"  {line}" for line in str(study.notes["said"]).split("; "))])


def plan_target(configuration: Configuration, experiment: str | None, until: str | None) -> Iterator[str]:
    """Yield what would be made and why, a line a stage and reason, and what it will take, as far as it was measured."""
    deployment, store = Deployment.of(configuration), _store(configuration)
    stages = plan(store, deployment, wanted(deployment, experiment, until))
    costs = measured_costs(store, (stage.asset for stage in stages))
    for stage in stages:
        expected = forecast(stage, store, costs) if stage.stale else None
        cost = (
            f", about {readable_seconds(expected.seconds)} and {readable_bytes(expected.added_bytes)} more"
            if expected
            else ""
        )
        yield f"{stage.asset}: {len(stage.stale)} of {len(stage.keys)} to make{cost}"
        by_reason: dict[str, list[str]] = {}
        for key, reason in stage.stale.items():
            by_reason.setdefault(reason, []).append(key)
        for reason, keys in by_reason.items():
            shown = ", ".join(keys[:_KEYS_SHOWN]) + (
                f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else ""
            )
            yield f"    {reason}: {shown}"
    yield forecast_line(stages, store, costs)


def compare_models(configuration: Configuration, first: str, second: str | None) -> Changes:
    """Say what changed between two evaluations; arguments and errors as `compare_evaluations`."""
    return compare_evaluations(Deployment.of(configuration), _store(configuration), first, second)


def target_states(configuration: Configuration) -> list[AssetState]:
    """Return the state of every asset of a deployment."""
    return asset_states(_store(configuration), Deployment.of(configuration))


def _store(configuration: Configuration) -> ArtifactStore:
    return ArtifactStore.at(Path(configuration.platform.storage_root))
