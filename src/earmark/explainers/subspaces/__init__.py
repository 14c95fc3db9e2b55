"""Concepts as subspaces of a hidden layer."""
