"""What makes the documents' pictures; the documents themselves are beside it."""
