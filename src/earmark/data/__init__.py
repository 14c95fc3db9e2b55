"""Recordings and clips, decoded once and divided into folds."""
