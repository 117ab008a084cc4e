"""Partitions that a run could not make, beside those that it could: told by partition, and refused by the checks.

A bad day in the middle of a long range must not cost the days behind it. So a body goes on, notes what failed as an
observation of that partition, and a blocking check of the asset refuses it, which fails the run.
"""

from collections.abc import Mapping

import dagster as dg

from trademl_assets.foundation.errors import TradeMLError

REFUSAL = "not made"
KIND = "error"
_SHOWN = 5


class PartitionsFailedError(TradeMLError):
    """Several partitions of a run could not be made; the message names each with its cause."""


def observe_refusal(asset: str, key: str, error: TradeMLError) -> dg.AssetObservation:
    """Make the event that tells of a partition why it was not made."""
    return dg.AssetObservation(
        asset_key=asset, partition=key, metadata={REFUSAL: str(error), KIND: type(error).__name__}
    )


def refusals_of(instance: dg.DagsterInstance, run_id: str, asset: str) -> dict[str, str]:
    """Return why partitions of an asset were not made by a run, by key."""
    found = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION):
        event = entry.dagster_event
        if event is None or event.asset_key != dg.AssetKey(asset):
            continue
        observation = event.asset_observation_data.asset_observation
        if REFUSAL in observation.metadata:
            found[str(observation.partition)] = str(observation.metadata[REFUSAL].value)
    return found


def is_checked_afterwards(context: dg.AssetExecutionContext) -> bool:
    """Tell whether a blocking check of the asset, which would refuse what was not made, is part of the run."""
    graph, selected = context.job_def.asset_layer.asset_graph, context.run.asset_check_selection
    keys = graph.get(context.asset_key).check_keys
    return any(graph.get(key).blocking for key in keys if graph.has(key) and (selected is None or key in selected))


def combine_refusals(asset: str, refused: Mapping[str, TradeMLError], asked: int) -> TradeMLError:
    """Make one error of all; a single one is left as it is."""
    if len(refused) == 1:
        return next(iter(refused.values()))
    told = "; ".join(f"{key}: {error}" for key, error in list(refused.items())[:_SHOWN])
    more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    return PartitionsFailedError(f"{asset}: {len(refused)} of {asked} partitions could not be made: {told}{more}")
