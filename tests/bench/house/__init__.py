"""Our own benches."""
