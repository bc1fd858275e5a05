"""TIFF structures: tags, directories, EXIF, DNG fields, opcode lists."""
