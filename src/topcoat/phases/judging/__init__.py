"""Judges an attempt: evaluates models, asks guard cases, and comes to a verdict."""
