"""Which model answers: loaded in a server of its own, at the door, until the next one takes its place."""
