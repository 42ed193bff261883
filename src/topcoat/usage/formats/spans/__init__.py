"""Reads the spans and log records of OpenTelemetry, in each convention that keeps what was said to a model."""
