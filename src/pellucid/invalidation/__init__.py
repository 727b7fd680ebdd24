"""What is known to have changed: written once in the database, read by every process."""
