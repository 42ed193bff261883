"""Training examples: read, imported, written, checked, split and made into rows."""
