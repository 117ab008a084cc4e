"""Training processes: started over Pipes, so that Dagster's own process never imports torch and hears what they say."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from trademl_assets.training.launch import Runner
from trademl_assets.training.leases import Cards

GPU_POOL = "gpu"


@dataclass(frozen=True)
class TrainingProcesses:
    """Starts training processes.

    Attributes:
        client: Client that starts them; their messages become lines of the run's log.
        cards: GPUs of which each training leases what it needs: the pool counts steps, it hands out no cards.
    """

    client: dg.PipesSubprocessClient
    cards: Cards

    def runner(self, context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Runner:
        """Return what runs a command to its end within a step."""

        def run(command: Sequence[str], environment: Mapping[str, str]) -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dg.PreviewWarning)
                return self.client.run(context=context, command=list(command), env=dict(environment))

        return run
