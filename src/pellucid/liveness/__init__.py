"""Which workers are alive: the port, and its implementation for one machine."""
