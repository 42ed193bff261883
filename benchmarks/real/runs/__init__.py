"""What is trained and measured beside the project.

`coats.py` has the lineage, `naive.py` the same data through mlx-lm alone, `again.py` trainings from the root on all
data, `general.py` texts and questions that no coat is about, and `measuring.py` what runs in a process of its own.
"""
