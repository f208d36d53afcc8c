"""Cases as items of pytest: collected, chosen, shared among workers, and their progress shown."""
