//! In-memory ports, their contract, faults, clock and oracle.
