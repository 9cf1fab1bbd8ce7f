"""Reference charges, from which charges by bonds flow: as somebody gives them, or as the oxidation
states of a composition and of the bonds between atoms of one element."""
