"""What a user writes: project, phase, suite, catalog, example. Nothing here executes or stores anything."""
