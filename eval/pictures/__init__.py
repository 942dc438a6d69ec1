"""What is drawn: labelings, belief maps, comparisons."""
