"""Captured usage: events, the ways in which they come, and what is learned from them."""
