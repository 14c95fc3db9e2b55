"""Concept explanations of audio classifiers that you can hear.

The package holds all of Earmark's logic and knows nothing of Snakemake. Each stage of the
workflow is a module of the same name with a ``run`` function; what several stages share
(front end, model, relevance propagation, subspaces, evaluation) lies in modules below them.
"""
