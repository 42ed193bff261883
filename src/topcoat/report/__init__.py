"""Pages that people read, made from records. Nothing here computes a score or loads a model."""
