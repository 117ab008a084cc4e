"""Training processes: started over Pipes, so that Dagster's own process never imports torch and hears what they say."""

import contextlib
import os
import signal
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from trademl_assets.training.launch import Runner, build_environment, count_processes
from trademl_assets.training.leases import Cards
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.training.waiting import WaitingProcess, waiting_process

PROCESSES = "training_processes"
GPU_POOL = "gpu"
_SECONDS_TO_END = 20.0

Context = dg.AssetExecutionContext | dg.OpExecutionContext


@dataclass(frozen=True)
class TrainingProcesses:
    """Starts training processes.

    Attributes:
        client: Client that starts them; their messages become lines of the run's log.
        cards: GPUs of which each training leases what it needs: the pool counts steps, it hands out no cards.
    """

    client: dg.PipesSubprocessClient
    cards: Cards
    _waiting: dict[str, WaitingProcess] = field(default_factory=dict)

    @contextlib.contextmanager
    def begun(self, context: Context, training: TrainingParameters, store_root: Path) -> Iterator[None]:
        """Have a process import what is slow while the step gets ready; the step's first training is done in it.

        Processes that train together are begun by their agent, once it is known what they do.
        """
        if count_processes(training.devices, self.cards) > 1:
            yield
            return
        with waiting_process(store_root, build_environment(training.threads, os.getpid())) as waiting:
            self._waiting[context.run.run_id] = waiting
            try:
                yield
            finally:
                self._waiting.pop(context.run.run_id, None)

    def runner(self, context: Context) -> Runner:
        """Return what runs a command to its end within a step, in the process that was begun for it if there is one."""

        def run(command: Sequence[str], environment: Mapping[str, str]) -> None:
            waiting = self._waiting.pop(context.run.run_id, None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dg.PreviewWarning)
                if waiting is not None and waiting.suits(command, environment):
                    _order(waiting, context, command[-1], environment)
                    return
                if waiting is not None:
                    waiting.end()
                self.client.run(context=context, command=list(command), env=dict(environment))

        return run


def _order(waiting: WaitingProcess, context: Context, specification: str, environment: Mapping[str, str]) -> None:
    """Do in a waiting process what `PipesSubprocessClient.run` does in one that it starts."""
    reader, injector = dg.PipesTempFileMessageReader(), dg.PipesTempFileContextInjector()
    with dg.open_pipes_session(context=context, context_injector=injector, message_reader=reader) as session:
        waiting.tell(specification, {**environment, **session.get_bootstrap_env_vars()})
        try:
            status = waiting.process.wait()
        except dg.DagsterExecutionInterruptedError:
            waiting.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):  # who began it ends it
                waiting.process.wait(_SECONDS_TO_END)
            raise
        if status:
            raise subprocess.SubprocessError(f"exit status {status}")
