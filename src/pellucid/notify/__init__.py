"""Outgoing messages: webhooks about cutouts that are ready or have failed, and CDN purges."""
