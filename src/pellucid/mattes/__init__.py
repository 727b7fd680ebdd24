"""Mattes: their files in the store, and what the database knows of them."""
