"""The scripts that make the demo project: ``python -m tools.demo_model world|tokenizer|base|all``."""
