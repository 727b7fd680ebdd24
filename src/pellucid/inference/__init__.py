"""Running models: sessions on a device, one thread that owns them."""
