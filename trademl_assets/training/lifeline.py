"""A process that ends when the one that ordered it is gone, or its own parent, so that no training is left behind."""

import os
import signal
import threading
import time
from pathlib import Path

_POLL_SECONDS = 1.0


def die_with(process: int) -> None:
    """Watch a process, and the parent of this one, from a thread; once either has ended, kill this process.

    The parent is torchrun's agent where processes train together, which is killed with its processes. Of an agent that
    is gone before them nobody else would end them: they would train on in the folder of those who come after.

    Args:
        process: Identifier of the process to outlive by a second at most.
    """
    birth = _birth(process)
    agent = os.getppid()

    def watch() -> None:
        while _birth(process) == birth and birth is not None and os.getppid() == agent:
            time.sleep(_POLL_SECONDS)
        if os.getppid() == agent and agent not in (1, process):
            os.kill(agent, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _birth(process: int) -> str | None:
    """Return what tells a process from a later one of the same number, or None if there is none alive.

    Linux says when it started; elsewhere it is only known whether it exists.
    """
    if Path("/proc/self/stat").exists():
        try:
            after_name = Path(f"/proc/{process}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        state, started = after_name[0], after_name[19]
        return None if state in "ZX" else started
    try:
        os.kill(process, 0)
    except OSError:
        return None
    return "alive"
