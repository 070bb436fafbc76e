"""De-identification: pseudonyms, what identifies, and the scrub of report text."""
