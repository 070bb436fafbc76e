"""Whether shards are whole, and whether anything leaks between their splits."""
