"""Who is at work: the port, and what one machine needs."""
