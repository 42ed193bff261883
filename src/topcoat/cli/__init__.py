"""The command line: parse, call one use case, display. Nothing else knows typer or rich."""
