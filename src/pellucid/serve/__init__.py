"""`pellucid serve`: one supervisor, its web processes and its matte workers."""
