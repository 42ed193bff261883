"""Tiny models of every architecture of mlx-lm, and what topcoat has to do with each of them."""
