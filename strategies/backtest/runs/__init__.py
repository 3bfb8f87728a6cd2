"""What `manage.py backtest` does: markets from a database, results into it, and on the screen."""
