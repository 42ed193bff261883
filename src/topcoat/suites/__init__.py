"""Suites: asks cases, scores answers, sums up and compares scores."""
