"""A candidate beside the production model: answers that nobody sees (shadow), a share of the sessions (canary)."""
