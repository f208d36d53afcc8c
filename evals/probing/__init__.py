"""What a server, or a model, is good for, before a suite is asked: probe and doctor."""
