"""Pictures to try the server with."""
