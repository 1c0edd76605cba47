"""What only checks use, and more than one of them does."""
