"""An upstream that misbehaves on demand, and a raw client."""
