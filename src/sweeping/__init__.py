"""Sweeps over the settings of a training command: grids, and searches with pruning."""
