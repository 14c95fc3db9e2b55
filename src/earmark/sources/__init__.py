"""Recordings that are made up, with their stems."""
