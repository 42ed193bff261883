"""The tables of a phase file. `spec.phase` puts them together."""
