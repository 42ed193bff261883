"""Secrets in texts, by the forms that their issuers document."""
