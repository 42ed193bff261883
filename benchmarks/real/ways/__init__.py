"""Ways to train one coat, beside plain training: preferences, anchored replay, the base's null space, averages."""
