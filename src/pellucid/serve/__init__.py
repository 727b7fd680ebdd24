"""`pellucid serve`: one supervisor, its web process and its matte workers."""
