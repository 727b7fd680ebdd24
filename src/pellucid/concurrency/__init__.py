"""What requests of one process share: places, work under way, and who a client is."""
