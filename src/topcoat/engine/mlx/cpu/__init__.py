"""What makes MLX quick on a CPU."""
