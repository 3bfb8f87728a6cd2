"""The doctor: looks at the machine, the database and the exchange, and says what to do."""
