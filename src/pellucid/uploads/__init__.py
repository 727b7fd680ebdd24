"""Uploaded images: files in a folder, rows in the database, limits per client and in total."""
