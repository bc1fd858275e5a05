"""Train, distil and export denoising networks."""
