"""Proves that a lab of machines in the libvirt of a host leaves what others have there as it is."""
