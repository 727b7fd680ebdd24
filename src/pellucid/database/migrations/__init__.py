"""Migrations of the schema, run by Alembic (`database.upgrade`). A released migration is never changed."""
