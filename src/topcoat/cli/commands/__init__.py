"""The commands, by subject. Each parses its arguments, calls one use case and displays what it returns."""
