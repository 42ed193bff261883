"""How well topcoat's scores of the Berkeley Function Calling Leaderboard agree with its own checker."""
