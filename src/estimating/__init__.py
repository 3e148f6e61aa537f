"""What a few pictures are worth: cross-validation, choice of settings, what more pictures would bring."""
