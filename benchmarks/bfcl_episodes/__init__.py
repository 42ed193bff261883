"""Plays the leaderboard's multi-turn questions as episodes, and compares the scores with its own checker's."""
