"""``python -m benchmarks.run``: Earmark beside the published procedures, on the same inputs, in one process."""
