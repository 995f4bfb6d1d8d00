"""How light the service is: beside a peer on another framework, and with a growing store."""
