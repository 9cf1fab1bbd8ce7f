"""The published two-sweep solution with a tapered kernel (protocol `reaxnet`)."""
