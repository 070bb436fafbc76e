"""What pages that stand alone have in common: style sheet, marks of inline SVG, Jinja environment. Imports nothing of ours."""
