"""Draws guard cases: cases that nobody tuned to, made afresh for each phase from a suite, templates and examples."""
