"""The admin's first page and the page of an account: what is going on, right for who looks."""
