"""The data of a phase: rows, splits and replay, the order of batches, checks and the budget. Pure functions."""
