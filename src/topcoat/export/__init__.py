"""Out of the door: a model of the lineage exported, its export evaluated, its card written, both pushed to the hub."""
