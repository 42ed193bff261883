"""Answers prompts in batches."""
