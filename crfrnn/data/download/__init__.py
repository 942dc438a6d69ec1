"""Public data sets by name: where they are, under what terms, and how they are fetched."""
