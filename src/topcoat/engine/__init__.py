"""Engines: the protocol in `base`, the shipped fake in `fake`, and MLX in `mlx`."""
