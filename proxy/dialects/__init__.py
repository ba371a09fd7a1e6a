"""What clients speak: bytes to words and back. One file per dialect, no I/O."""
