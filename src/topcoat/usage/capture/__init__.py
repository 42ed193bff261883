"""Capturing what agents do: the server before the model, and the recorder."""
