"""Scores of labelings, tables of them, and where numbers come from."""
