"""Exit statuses of the server's processes, which the supervisor reads."""

from __future__ import annotations

EXIT_FAILED = 1
"""The process failed for a reason that may be over at the next start."""

EXIT_CANNOT_START = 3
"""The process could not open something it needs. Another start would end the same way."""

EXIT_STUCK = 4
"""A job exceeded its time limit. A thread cannot be stopped, so the process ends; the queue counts the attempt."""

EXIT_MEMORY = 5
"""A job exceeded its memory limit. Here, too, only the end of the process stops it; the job has failed permanently."""
