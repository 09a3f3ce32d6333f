"""Directories and files of results: names, formats, and nothing half-written."""
