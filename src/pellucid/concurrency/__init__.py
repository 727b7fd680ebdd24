"""Concurrency within one process: fair semaphores, single flight, and the definition of a client."""
