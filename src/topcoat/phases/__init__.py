"""A phase from its spec to its verdict: planned, prepared, trained, fused, evaluated and judged."""
