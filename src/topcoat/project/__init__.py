"""An opened project: what every use case reads and writes through, and how one begins."""
