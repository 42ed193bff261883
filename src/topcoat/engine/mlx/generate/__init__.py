"""Answering prompts in batches."""
