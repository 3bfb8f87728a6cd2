"""Notifications: the operator is told when something is wrong, and when it is over."""
