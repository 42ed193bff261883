"""Makes MLX fast on a CPU."""
