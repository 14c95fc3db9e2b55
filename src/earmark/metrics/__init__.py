"""What explanations are worth; nothing here knows how they came about."""
