"""Catalogs made from what a project has already: an MCP server, an OpenAPI document, another list of tools."""
