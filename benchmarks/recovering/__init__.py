"""Trains a coat on the embedded model that learns to recover from calls that fail, and measures it."""
