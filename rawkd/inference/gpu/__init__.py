"""Run networks on GPUs: the ways to a GPU, and engines of the libraries that compile ONNX graphs for one."""
