"""Engines that run frozen networks: many pictures in, the outputs asked for out, faster than Keras' own graph."""
