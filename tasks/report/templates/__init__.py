"""The HTML templates and the style sheet of the reports (package data)."""
