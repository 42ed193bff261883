"""Engines: the protocol in `protocol`, which engines there are in `registry`, the shipped `fake`, and `mlx`."""
