"""Reports of saved measurements."""
