"""The tool-call language: finds calls in an answer, checks them against the catalog, and executes programs."""
