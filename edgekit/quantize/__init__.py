"""Full int8 conversion in a process of its own, and proof that the file still is the model."""
