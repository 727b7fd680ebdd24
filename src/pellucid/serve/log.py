"""Logging of every process: lines for the console, or JSON lines."""

from __future__ import annotations

import logging
import sys

import structlog


def set_up_logging(*, level: str, style: str) -> None:
    """Configure structlog. `style` is `console`, `json`, or `auto`: console on a terminal, else JSON."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.CallsiteParameterAdder([structlog.processors.CallsiteParameter.PROCESS]),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard library's logging (aiohttp, uvicorn): warnings and errors, to the same stream.
    logging.basicConfig(stream=sys.stderr, level=max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
