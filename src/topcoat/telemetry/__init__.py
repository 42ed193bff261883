"""Sends spans of topcoat's work to a collector of OpenTelemetry, if the user's variables name one."""
