"""Reads dialogues in other tools' formats. Knows the shapes of JSON documents, and no files."""
