"""One module per stage: read, call, write. No stage imports another."""
