"""The words, names and phrases of the embedded model's world."""
