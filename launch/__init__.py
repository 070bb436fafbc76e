"""The `cxrpt` command, and what starts a run."""
