"""From origin, matte and plan to a rendition: geometry, foreground estimation, backdrop, encoding."""
