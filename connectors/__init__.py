"""One file = one outside service. Connectors translate; they decide nothing."""
