"""Whether a project is whole, and how a lost lineage is made again."""
