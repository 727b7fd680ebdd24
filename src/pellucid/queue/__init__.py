"""Work owed: the port and its adapters."""
