"""Training an adapter. `loop` is where to begin: it sets up, steps, validates and saves.

`agreement` chooses how the loss is computed: `forward`, over the states that `trunk` computes once and the `prefix`
that rows share, or over the whole model. `head` and `loss` end in a number, `schedule` has the rate, and `checkpoint`
is what a killed run goes on from.
"""
