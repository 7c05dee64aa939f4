"""Usage on its way to other systems, one page each."""
