"""What `forget512` offers to Python: evaluate candidates, read stores, and what both return."""
