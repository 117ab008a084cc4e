"""Processes of their own for tests that kill or race."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from trademl_assets_tests.storage import conftest


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process of its own: forked from a server that has imported the store but never used it."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([conftest.__name__])
    process = forks.Process(target=target, args=arguments)
    process.start()
    return process


def exit_code(process: BaseProcess) -> int | None:
    process.join(timeout=60)
    return process.exitcode
