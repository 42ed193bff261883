"""Captured usage: events, how they are captured, and the examples that are extracted from them."""
