"""The tools that a model may call: their signatures, JSON Schemas and results, however they are written."""
