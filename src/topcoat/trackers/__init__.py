"""Sends the results of a phase's attempts to experiment trackers, each through its own client."""
