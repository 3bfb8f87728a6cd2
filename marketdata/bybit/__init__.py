"""The adapter: everything that knows Bybit V5 and pybit, and nothing of Django."""
