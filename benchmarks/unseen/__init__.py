"""The embedded phase judged on cases that no file of the project has: ``python -m benchmarks.unseen``."""
