"""Cases at scale, from templates, with names that nothing trained on has."""
