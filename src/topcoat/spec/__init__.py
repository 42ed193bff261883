"""What a user writes: project, phase, suite, catalog, example. Reading only; nothing here runs or stores anything."""
