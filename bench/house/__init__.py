"""Our own benches: they start Headrace as a black box, with mock providers behind it, and look at it."""
