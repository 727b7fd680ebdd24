"""The tables of the settings tree. Defaults, limits and the sentence for the reference stand beside each setting."""
