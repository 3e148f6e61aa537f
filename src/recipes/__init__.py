"""Published experiments and ours on the same data, as settings: one file for each; ``registry`` finds them."""
