"""URL in, `Spec` out, and back. Pure."""
