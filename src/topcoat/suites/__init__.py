"""Suites: cases are asked, answers scored, scores summed up and compared."""
