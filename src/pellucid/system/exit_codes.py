"""Exit statuses of the server's processes: what a child tells its supervisor by ending."""

from __future__ import annotations

EXIT_FAILED = 1
"""It failed for a reason which may be over at its next start."""

EXIT_CANNOT_START = 3
"""It could not open what it needs; starting it again would end the same way."""

EXIT_STUCK = 4
"""A job was over its time. A thread cannot be stopped, so the process ends; the queue counts the attempt."""

EXIT_MEMORY = 5
"""A job took more memory than it may. Here, too, only the end of the process stops it; the job has failed for good."""
