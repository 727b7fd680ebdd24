"""Bytes to pixels and back: the only package besides `render` that touches libvips."""
