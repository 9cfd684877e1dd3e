"""`Network`, and what it shows of itself."""
