"""What upstreams speak: words to bytes and back. One file per wire, no I/O."""
