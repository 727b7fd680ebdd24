"""From pixels to a matte: the model and what surrounds it. No HTTP, no queue, no store."""
