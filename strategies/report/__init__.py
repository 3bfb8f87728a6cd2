"""The report of a backtest: figures, pictures and words of a stored or a fresh result."""
