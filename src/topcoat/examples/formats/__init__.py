"""Dialogues in other tools' formats and in tables, as the objects of JSON that they are."""
