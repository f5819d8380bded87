//! Integration tests: a real Postgres, real HTTP servers, the real binary.
