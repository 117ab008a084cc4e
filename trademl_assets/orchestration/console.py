"""A logger for whoever watches a run: one line a message, without the job, run and step that Dagster puts before it."""

import logging

import dagster as dg
from rich.console import Console
from rich.logging import RichHandler

PROGRESS_LOGGER = "progress"


class MessageAlone(logging.Formatter):
    """The message as it was logged."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message without Dagster's prefix."""
        stated: str | None = getattr(record, "dagster_meta", {}).get("orig_message")
        return stated or record.getMessage()


def progress_handler() -> logging.Handler:
    """Make the coloured handler of the console."""
    handler = RichHandler(console=Console(), show_path=False, rich_tracebacks=True, log_time_format="[%X]")
    handler.setFormatter(MessageAlone())
    return handler


def _make_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("trademl", level=logging.INFO)  # noqa: LOG001 -- Dagster's own, outside the hierarchy
    logger.addHandler(progress_handler())
    return logger


progress_logger = dg.LoggerDefinition(
    _make_logger, description="One coloured line a message, without Dagster's prefix and its own events."
)
