"""The studio: pages for a browser on this machine. Pages are functions, `server.py` alone knows HTTP."""
