"""What a suite writes about an episode: a case whose dialogue is played."""
