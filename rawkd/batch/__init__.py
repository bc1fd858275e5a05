"""Many photos: found, pooled into series, denoised side by side on one machine or many, each exactly once."""
