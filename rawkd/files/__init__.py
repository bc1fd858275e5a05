"""Reading and writing of all file formats."""
