//! Groups of the consumer protocol, driven by heartbeats in virtual time.
