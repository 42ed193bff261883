"""Where things are kept: paths, atomic files, the lock, and the lineage database."""
