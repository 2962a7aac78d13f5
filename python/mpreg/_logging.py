"""Logs are the standard library's: logger `mpreg` and below.

Rust writes warnings to stderr by itself when the program configured no logging, also while Python is stuck; once a
handler is there, lines go to the loggers instead. `mpreg run` configures logging before it starts the node.
"""

from __future__ import annotations

import logging
import sys

ROOT = "mpreg"
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class LogContext(logging.Filter):
    """Gives records made inside a handler `call_id`, `function` and `trace_id`, and "-" elsewhere.

    `handler.addFilter(mpreg.LogContext())` with a format like "%(function)s %(call_id)s %(message)s".
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        from mpreg._native import native

        facts = native.ambient.get()
        record.call_id = facts.call_id if facts else "-"
        record.function = facts.function if facts else "-"
        record.trace_id = (facts.trace_id if facts else None) or "-"
        return True


def connect_logging(level: str) -> None:
    """Called when a node or client starts: tells Rust where its lines go."""
    from mpreg._native import native

    logger = logging.getLogger(ROOT)
    number = logging.getLevelNamesMapping()[level.upper()]
    if logger.level == logging.NOTSET:
        logger.setLevel(number)
    native.log_to(_emit if logger.hasHandlers() else None, min(number, logger.getEffectiveLevel()))


def log_to_stderr(level: str | None, worker: str | None = None) -> None:
    """For programs that are mpreg's own (`mpreg run`, `node.serve()` under it): one line per event on stderr.

    Without a level it is the one that the settings say, once the node starts. The lines of a `worker` name it.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(
            stream=sys.stderr, format=FORMAT.replace("%(name)s", f"{worker} %(name)s") if worker else FORMAT
        )
    if level is not None:
        logging.getLogger(ROOT).setLevel(level.upper())


def log_leaving(signal: str) -> None:
    """A drain may take a while; whoever waits for the process should know why."""
    logger = logging.getLogger(f"{ROOT}.node")
    logger.info("leaving (%s): running calls may end; the same signal again ends the process at once", signal)


def _emit(level: int, name: str, message: str, fields: dict[str, str]) -> None:
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        told = "".join(f" {key}={value}" for key, value in fields.items())
        logger.log(level, "%s%s", message, told, extra={"mpreg": fields})
