"""Answers prompts whose likely answers are known."""
