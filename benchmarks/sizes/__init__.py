"""What a phase takes by the size of the model."""
