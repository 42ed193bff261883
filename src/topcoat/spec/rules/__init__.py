"""What an argument may be, where several values are right: how it is written, and what it means."""
