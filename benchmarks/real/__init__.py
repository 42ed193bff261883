"""A real model and a public benchmark as a topcoat project, made in stages that resume.

`stages.py` runs stages and keeps what each one found. `sources.py` fetches what isn't topcoat's, `split.py` decides
what is trained on and what is asked, `examples.py` makes examples of the training side, `project.py` writes the
project, and `checking.py` asks the benchmark's own checker.
"""
