"""The network of reduced cells on a torch device; see the README beside this file."""
