"""Mattes: their files in the store, and their rows in the database."""
