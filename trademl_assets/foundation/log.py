"""Log lines on the console: coloured, one line a message. Nothing is configured by importing this."""

import logging
from collections.abc import Callable

from rich.console import Console
from rich.logging import RichHandler

from trademl_assets.foundation.errors import ConfigError

PACKAGE = "trademl_assets"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_HANDLER = "trademl_console"


def configure_logging(level: str, *filters: Callable[[logging.LogRecord], bool]) -> None:
    """Show the platform's log lines on the error stream, those of other libraries from WARNING on.

    Calling it again replaces what it configured before; handlers of others stay.

    Args:
        level: Least level of the platform's own lines, one of LEVELS.
        filters: Each tells whether a record is shown.

    Raises:
        ConfigError: No such level.
    """
    if level not in LEVELS:
        raise ConfigError(f"unknown log level {level!r} -> choose one of {', '.join(LEVELS)}")
    handler = RichHandler(console=Console(stderr=True), show_path=False, rich_tracebacks=True, log_time_format="[%X]")
    handler.set_name(_HANDLER)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for each in filters:
        handler.addFilter(each)
    root = logging.getLogger()
    for earlier in [other for other in root.handlers if other.get_name() == _HANDLER]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(PACKAGE).setLevel(level)
