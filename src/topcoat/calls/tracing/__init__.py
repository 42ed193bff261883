"""Reads a program without executing it: its calls, what flows into them, and what would make it fail."""
