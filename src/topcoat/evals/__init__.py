"""Evaluation: answers are parsed into calls, calls are scored, scores are summed and compared."""
