"""One module a kind of source: each turns a folder of files into an `inputs.Export`."""
