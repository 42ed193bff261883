"""Makes cases at scale from templates, with names that no training data contains."""
