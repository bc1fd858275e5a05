"""Names of the devices that can run a network; no heavy import, so that a help text can list them."""

DEVICES = ("auto", "cpu", "gpu", "cuda", "mps")
"""`auto`: cuda or mps if the machine has one and a library for it, else the CPU. `gpu`: the first GPU that works, of
any maker. `cuda`: NVIDIA. `mps`: Apple. `inference.gpu.ways` says which library serves which."""
