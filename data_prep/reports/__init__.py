"""Reports in whatever form they come to their text, its sections, and what they say of study and patient."""
