"""Everything in one go: which stages, what is done already, how long the rest takes, what it came to."""
