"""From files and reports to studies of patients."""
