"""The scripts that make the demo project: ``python -m topcoat.demo.make world|tokenizer|base|all``."""
