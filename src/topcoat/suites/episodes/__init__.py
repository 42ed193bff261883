"""Episodes: plays the dialogues of cases, with tools that are simulated."""
