"""Making students."""
