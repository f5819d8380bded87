//! Integration tests: a real Postgres, real HTTP servers, the real binary.
//!
//! The harness: `cluster` starts Postgres, `daemon` runs the binary, `receiver` takes webhooks,
//! `logged` reads the event log, `audit` is the independent account of what happened. The rest are
//! tests, one file per promise.

#![allow(
    dead_code,
    reason = "the harness offers more than each state of the tests uses"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::large_futures,
    reason = "a test that meets the unexpected fails by panicking"
)]

mod patience;
mod ports;
mod cluster;
mod daemon;
mod receiver;
mod tls_front;
mod types;
mod type_values;
mod odd_values;
mod encodings;
mod recorded;
mod logged;
mod audit;
mod served;
mod harness;
mod capture;
mod context;
mod emit;
mod scheduled;
mod catalog;
mod context_capture;
mod context_examples;
mod context_trace;
mod previous;
mod rows;
mod backfill;
mod history;
mod delivery;
mod formats;
mod pages;
mod choosing;
mod endpoints;
mod bad_days;
mod seeing;
mod lanes;
mod idle;
mod crowd;
mod restarts;
mod replay;
mod reload;
mod secrets;
mod verifiers;
mod trust;
mod proxy;
mod faults;
mod outages;
mod takeover;
mod publications;
mod promotion;
mod slots;
mod streams;
mod connections;
mod commands;
mod reading;
mod api;
mod story;
mod erase;
mod listen;
mod log;
mod segments;
mod schema;
mod locale;
mod tables;
mod wal_budget;
mod transactions;
mod staged;
