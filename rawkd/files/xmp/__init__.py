"""XMP packets: what was done to a photo, and adding to it without changing the rest of a packet."""
