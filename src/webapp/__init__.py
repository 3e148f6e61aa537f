"""A local page and a JSON interface over the trained models."""
