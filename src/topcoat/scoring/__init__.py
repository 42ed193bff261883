"""What an answer is worth, beside what its case expects. Pure functions; nothing is run here."""
