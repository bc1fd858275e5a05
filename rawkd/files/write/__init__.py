"""From values to files: DNG, rendered pictures, drawings; atomically."""
