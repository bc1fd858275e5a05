"""Write DNG files, rendered pictures and drawings, each atomically."""
