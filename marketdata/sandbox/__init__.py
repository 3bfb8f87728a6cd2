"""A Bybit V5 server of our own on loopback, written from the exchange's documentation alone."""
