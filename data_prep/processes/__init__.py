"""Work over processes that may die, kept in files that are whole or not there."""
