"""What MLX lacks on a CUDA GPU."""
