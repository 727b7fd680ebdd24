"""TIFF: which directory of a file is the picture, what its samples mean, and their pixels as libvips gives them."""
