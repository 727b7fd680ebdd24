"""Messages to the outside: webhooks when a cutout is ready or failed, purges of a CDN."""
