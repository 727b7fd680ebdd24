"""Colours: from what a file says of them to the ICC profile by which libvips turns them into sRGB."""
