"""`rawkd inspect`: what is known about raw photos, as text or JSON."""
