"""Flat graphics (logos, text, charts, screenshots on one ground colour): recognised, and cut without a model."""
