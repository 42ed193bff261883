"""Several processes, on one machine or on several, that share the work of one command: `mlx.launch` starts them."""
