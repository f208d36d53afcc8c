"""One HTTP exchange with the server under test, bounded in time and size, and with it alone."""
