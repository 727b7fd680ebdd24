"""Scenes made by code, whose foreground and alpha are known, and how wrong cutouts of them are: `bench/halo.py`."""
