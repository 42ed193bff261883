"""Fusing an adapter into a model: masters, bits, rounding, and the folder that is written."""
