"""Keeps secrets and the names of home folders out of what is captured."""
