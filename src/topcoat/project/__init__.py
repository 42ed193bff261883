"""An opened project: `Project` to read, `Session` to write; and how a project begins."""
