"""Invalidations of origins: a log in the database, written once and read by every process."""
