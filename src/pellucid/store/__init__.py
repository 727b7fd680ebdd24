"""Blobs: the port, its adapters, bounded caches over them."""
