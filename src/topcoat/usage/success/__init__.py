"""Whether a call worked, judged by its result: the project's patterns, then structure, then words."""
