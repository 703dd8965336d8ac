"""The pages the server delivers: dashboard and overlay."""
