"""The job queue: submission, fair order, claims and retries of jobs, and the messages about their ends."""
