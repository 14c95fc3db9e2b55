"""Summary tables: values per clip in, rows with intervals and corrected p-values out."""
