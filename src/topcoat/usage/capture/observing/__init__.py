"""Watches the requests at the front: metrics for Prometheus, spans for OpenTelemetry."""
