"""The one place where settings become opened things. Three modules, so that a process imports what it opens."""
