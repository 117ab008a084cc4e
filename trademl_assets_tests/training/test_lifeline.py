import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
print(child.pid, flush=True)
time.sleep(60)
"""
CHILD = """
import sys, time
from trademl_assets.training.lifeline import die_with
die_with(int(sys.argv[1]))
print("watches", flush=True)
time.sleep(60)
"""


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def started(*asked: str) -> tuple[subprocess.Popen[str], int]:
    """Start a process with a child that watches the asked process, or that one; return it and the child."""
    code = CHILD if asked else CHILD.replace("sys.argv[1]", "__import__('os').getppid()")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, code, *asked], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    told = {parent.stdout.readline().strip() for _ in range(2)}
    assert "watches" in told
    (child,) = told - {"watches"}
    assert alive(int(child))
    return parent, int(child)


def has_ended(process: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(process)


def test_a_process_ends_with_the_one_that_ordered_it() -> None:
    parent, child = started()
    parent.kill()
    parent.wait()
    assert has_ended(child)


def test_a_process_ends_with_its_own_parent_though_the_one_that_ordered_it_lives() -> None:
    agent, child = started(str(os.getpid()))
    agent.kill()
    agent.wait()
    assert has_ended(child)


def test_a_process_whose_orderer_dies_ends_and_takes_the_agent_between_them_along() -> None:
    orderer = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    agent, child = started(str(orderer.pid))
    time.sleep(0.2)
    assert alive(child)
    orderer.kill()
    orderer.wait()
    assert agent.wait(timeout=10) == -signal.SIGKILL
    assert has_ended(child)
