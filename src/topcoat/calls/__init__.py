"""The tool-call language: finding calls in an answer, checking them against the catalog, and running them."""
