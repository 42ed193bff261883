"""A real agent's own training data as a topcoat project, on a small real model, made in stages that resume.

`tools.py` and `catalog.pyi` are the agent's tools, `requests.py` makes requests of them with right programs, `names.py`
fills in names. `cases.py` are the new cases, `examples.py` phase 34a's examples, and `data.py` reads the agent's own
data. `project.py` writes the project, `phases.py` runs the two phases, `scores.py` and `page.py` say what came out.
"""
