"""The ways in which model families write tool calls, each recognized by a mark that no other text has."""
