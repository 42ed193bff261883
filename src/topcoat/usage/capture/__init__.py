"""Captures what agents do: the server in front of the model, and the recorder."""
