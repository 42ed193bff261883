"""What is wrong with examples, found before anything is spent on them."""
