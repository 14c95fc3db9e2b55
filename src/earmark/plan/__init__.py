"""What a configuration asks for. Read while the workflow is being parsed, hence without NumPy or torch."""
