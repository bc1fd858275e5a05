"""Training losses, and the no-reference quality measures that some of them use."""
