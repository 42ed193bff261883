"""Exports: a model, or its coats, for the runtimes where people use models.

`export` is the way in. `tensors` gives a model's weights one by one, as numbers; `hf` writes them for transformers and
vLLM, `gguf_file` for llama.cpp; `coats` writes the sum of the coats for mlx-lm and PEFT.
"""
