"""The websocket protocol, its server and its pages."""
