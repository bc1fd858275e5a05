"""Export training runs as model directories."""
