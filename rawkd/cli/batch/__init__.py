"""`rawkd batch`: its options, its progress and what it says at its end."""
