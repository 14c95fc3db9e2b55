"""Explainers that are trained: networks that learn, on training clips, to explain one other network."""
