"""What is in an image, as far as a plan needs to know: faces, the salient point, the border, the main colour."""
