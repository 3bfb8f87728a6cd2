"""Public trades in bulk: as numpy arrays for backtests, and as Parquet files.

It needs the packages of requirements-backtest.txt, which capture and the admin do without.
"""
