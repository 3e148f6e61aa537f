"""Measurements that anyone can repeat: conditions, raw samples, medians, and a last line of JSON."""
