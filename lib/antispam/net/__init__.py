"""Names, addresses and connections: the resolver, sockets, the socket map, sd_notify."""
