"""One photo before and after, as a page or a strip."""
