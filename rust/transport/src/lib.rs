//! Listeners, dialers and connections over TCP, TLS, unix sockets and memory.
