"""Reads the files in which coding agents keep their sessions. A file is read as a whole."""
