"""The way of a request, without HTTP: from a spec to what is answered now."""
