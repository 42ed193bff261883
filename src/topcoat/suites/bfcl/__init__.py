"""Reads the Berkeley Function Calling Leaderboard, whose files topcoat doesn't ship, as a suite."""
