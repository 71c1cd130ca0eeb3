"""The built-in central system: it sees messages and returns messages, and knows no sockets."""
