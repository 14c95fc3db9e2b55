"""Where every file lies, and how it is written: whole, locked, with its provenance."""
