"""Response parameters for the whole periodic table, fitted to thousands of small crystals at once."""
