"""What happens to the pixels, one file a step: `(image, job) -> image`. `render.run` has their order."""
