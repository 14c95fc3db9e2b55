"""The listening page: what a browser shows, and what is put into it."""
