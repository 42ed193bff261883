"""Leaves parts of a dialogue out before it is rendered: what doesn't fit, and thoughts."""
