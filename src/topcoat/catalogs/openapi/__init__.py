"""Tools from the operations of an OpenAPI document."""
