"""Training examples: reads, imports, writes, checks and splits them, and makes rows and batches."""
