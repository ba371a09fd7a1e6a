"""Everything that shows the gateway works."""
