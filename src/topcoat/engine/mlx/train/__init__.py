"""Trains an adapter. Begin reading with `loop`: it sets up, steps, validates and saves.

`agreement` chooses how to compute the loss: through the top, or through the whole model. `forward` has both. `cut` runs
a model's own forward without some of its layers. `trunk` computes what enters the top once, and `prefix` shares the
common tokens of rows. `head` and `loss` compute the loss, `schedule` has the learning rate, and `checkpoint` stores
what a killed training needs to continue.
"""
