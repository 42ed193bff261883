"""Models in GGUF files, made into folders that mlx-lm loads.

`file.py` reads the format, `family.py` says what a family's file has to hold, `vocabulary.py` and `tokenizer.py` make
its tokenizer, `blocks.py` packs its weights, and `convert.py` writes the folder.
"""
