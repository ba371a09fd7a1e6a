"""Measures the gateway from outside, as a client would: nothing here imports the gateway.

`python -m bench` compares Headrace with the naive stack and with no gateway at all, in one interleaved run.
"""
