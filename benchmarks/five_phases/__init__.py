"""Five phases in a row on the embedded model, each for another weakness, each on what production then is."""
