"""What is kept for good and asked about: charges, holds, uploads; in SQLite or PostgreSQL, through SQLAlchemy Core."""
