"""Pictures that people send here: files in a folder, rows in the database, limits per client and in all."""
