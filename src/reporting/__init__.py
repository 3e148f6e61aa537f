"""One page of all that was found: reads what the other commands have saved, computes no model."""
