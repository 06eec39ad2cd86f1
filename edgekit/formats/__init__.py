"""Model files: `.tflite` in, `.ekm` out and in."""
