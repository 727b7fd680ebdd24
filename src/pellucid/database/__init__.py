"""The database, SQLite or PostgreSQL, through SQLAlchemy Core: tables, transactions, locks, migrations."""
