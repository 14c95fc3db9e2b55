"""The kit of a listening test: a page that opens from disk, and what webMUSHRA is given."""
