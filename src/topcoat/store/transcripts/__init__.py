"""The records of episodes."""
