"""Names of the devices that can run a network; no heavy import, so that a help text can list them."""

DEVICES = ("auto", "cpu", "cuda", "mps")
