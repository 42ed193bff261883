"""Checks examples before anything is spent on them."""
