"""The steps from one schema to the next, run by Alembic (`database.upgrade`). A step is never changed afterwards."""
