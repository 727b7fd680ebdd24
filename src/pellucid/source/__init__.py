"""Origins: fetched through a guarded client, cached with validators."""
