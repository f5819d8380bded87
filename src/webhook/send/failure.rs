//! Why a request got no answer.

use std::error::Error;
use std::io;
use std::iter::successors;

use crate::webhook::guard::Denied;
use crate::webhook::{Cause, Outcome};

/// Sorts a client error. Only the innermost error is quoted: the outer ones repeat it, and name the
/// URL with whatever token it holds.
pub(super) fn outcome(error: &reqwest::Error) -> Outcome {
    let cause = if error.is_timeout() {
        Cause::Timeout
    } else if chain(error).any(|error| error.is::<Denied>()) {
        Cause::Denied
    } else if error.is_dns() {
        Cause::Dns
    } else if chain(error).any(|error| error.is::<rustls::Error>()) {
        Cause::Tls
    } else if error.is_connect() {
        Cause::Connect
    } else {
        Cause::Broken
    };
    let detail = chain(error)
        .skip(1)
        .last()
        .map_or_else(|| "the request failed".to_owned(), ToString::to_string);
    Outcome::Unreachable { cause, detail }
}

/// What a request comes to that may not be made.
pub(super) fn denied(denied: &Denied) -> Outcome {
    Outcome::Unreachable {
        cause: Cause::Denied,
        detail: denied.to_string(),
    }
}

/// The error and every cause beneath it.
pub(super) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| cause(error))
}

/// What an error is made of. An `io::Error` does not count the error that it wraps as its source, so
/// it is opened.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
