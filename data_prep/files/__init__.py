"""The files of an export: which there are, and tables and texts of any dress."""
