"""Reads dialogues in other tools' formats and in tables, as JSON objects."""
