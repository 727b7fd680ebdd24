"""Work owed: removals, whose turn it is, how they end, and who is told."""
