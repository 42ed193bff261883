"""Scorers: what an answer is worth, compared with what its case expects. Pure functions; nothing is executed here."""
