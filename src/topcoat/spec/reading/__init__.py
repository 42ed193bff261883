"""Reads what a user wrote, and reports every mistake at once, each with its file and line."""
