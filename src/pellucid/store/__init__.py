"""The blob store: the port, its adapters, and bounded caches on top of them."""
