"""Fuses an adapter into a model: masters, bits, rounding, and the folder of the fused model."""
