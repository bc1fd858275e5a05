"""What makers write for themselves: maker notes, which a DNG keeps as they are, and the lens, which they may know."""
