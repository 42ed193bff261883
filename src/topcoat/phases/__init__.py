"""A phase from its spec to its verdict: plan, prepare, train, fuse, evaluate, judge."""
