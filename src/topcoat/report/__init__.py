"""Makes pages for people from records. Nothing here computes a score or loads a model."""
