"""Training processes: started over Pipes, so that Dagster's own process never imports torch and hears what they say."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from trademl_assets.training.launch import Runner

GPU_POOL = "gpu"


@dataclass(frozen=True)
class TrainingProcesses:
    """Starts training processes.

    Attributes:
        client: Client that starts them; their messages become lines of the run's log.
    """

    client: dg.PipesSubprocessClient

    def runner(self, context: dg.AssetExecutionContext) -> Runner:
        """Return what runs a command to its end within a step."""

        def run(command: Sequence[str], environment: Mapping[str, str]) -> object:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dg.PreviewWarning)
                return self.client.run(context=context, command=list(command), env=dict(environment))

        return run
