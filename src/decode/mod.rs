//! pgoutput, protocol version 1: bytes → messages and row changes. Pure, bounds-checked.
