"""A real model behind llama.cpp's own server: `make real`. Not part of `make test`."""
