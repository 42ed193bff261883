"""What one attempt of a phase trains, and what the next one changes."""
