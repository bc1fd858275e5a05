"""Read maker notes: a DNG keeps them unchanged, and rawkd takes the name of the lens from them."""
