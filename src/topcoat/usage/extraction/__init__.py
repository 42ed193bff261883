"""Extracts examples and cases from captured usage, and keeps people's decisions about them."""
