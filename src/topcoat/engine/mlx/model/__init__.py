"""Model folders, their tensors, tokenizers and adapters."""
