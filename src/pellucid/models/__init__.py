"""Model cards and the weights they describe: listed, pulled, verified."""
