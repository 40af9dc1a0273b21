"""What students hand in, found and read, never run: whose it is, when it came, for which lesson."""
