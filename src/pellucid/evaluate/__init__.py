"""How good are the mattes? Measures against true masks, and a sheet that shows the worst. Extra `[eval]`."""
