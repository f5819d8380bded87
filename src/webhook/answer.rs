//! What came of an attempt, and what it means for the event. Pure.

use std::fmt;
use std::time::Duration;

/// What came of one HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver said 2xx.
    Delivered {
        /// The HTTP status.
        status: u16,
    },
    /// The receiver said something else.
    Refused {
        /// The HTTP status.
        status: u16,
        /// How long the receiver asked us to wait; see [`verdict`] for what is read.
        retry_after: Option<Duration>,
        /// How the answer's body begins: at most 512 bytes, printable, without our secrets.
        excerpt: String,
    },
    /// No answer came.
    Unreachable {
        /// At which step it failed.
        cause: Cause,
        /// The root cause's own words; never the URL.
        detail: String,
    },
    /// No request was made: the event could not be made into one.
    NotRendered {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// The word in metrics and in the attempt log.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Refused { .. } => "refused",
            Self::Unreachable { cause, .. } => cause.as_str(),
            Self::NotRendered { .. } => "not_rendered",
        }
    }

    /// The answer's HTTP status.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Delivered { status } | Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::NotRendered { .. } => None,
        }
    }

    /// Whether the receiver was asked at all.
    #[must_use]
    pub fn is_of_the_endpoint(&self) -> bool {
        !matches!(self, Self::NotRendered { .. })
    }

    /// How long the receiver wants no request at all: 429 (RFC 6585) and 503 (RFC 9110, section
    /// 15.6.4) speak of the receiver and not of what was sent to it.
    #[must_use]
    pub fn asks_for_rest(&self) -> Option<Duration> {
        match self {
            Self::Refused {
                status: 429 | 503,
                retry_after,
                ..
            } => *retry_after,
            _ => None,
        }
    }

    /// Whether another event could have fared better: not if there was nobody to send it to.
    #[must_use]
    pub fn is_of_the_event(&self) -> bool {
        !matches!(
            self,
            Self::Unreachable {
                cause: Cause::Dns | Cause::Denied | Cause::Connect | Cause::Tls,
                ..
            }
        )
    }
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The host's name has no address.
    Dns,
    /// No connection may be made to the host's addresses: `network.deny`.
    Denied,
    /// No connection.
    Connect,
    /// No trusted TLS session over the connection.
    Tls,
    /// The endpoint's time was over.
    Timeout,
    /// The connection ended before an answer came, or what came was not HTTP.
    Broken,
}

impl Cause {
    /// The word in logs, metrics and the table of attempts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Denied => "denied",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered { status } => write!(f, "answered {status}"),
            Self::Refused {
                status, excerpt, ..
            } if excerpt.is_empty() => write!(f, "answered {status}"),
            Self::Refused {
                status, excerpt, ..
            } => write!(f, "answered {status}: {excerpt}"),
            Self::Unreachable { cause, detail } => write!(f, "{}: {detail}", cause.as_str()),
            Self::NotRendered { reason } => write!(f, "not sent: {reason}"),
        }
    }
}

/// What an outcome means for the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Settled,
    /// Another attempt may succeed.
    Retry {
        /// Not before this has passed.
        retry_after: Option<Duration>,
    },
    /// No attempt with this body can succeed.
    Dead {
        /// For whoever looks at the dead delivery.
        reason: String,
    },
    /// The receiver wants no more events. This one stays unsettled.
    PauseSubscription {
        /// For `status`.
        reason: String,
    },
}

/// Judges an outcome.
///
/// * 2xx settles the event.
/// * 410 pauses the subscription: the receiver is gone for good (Standard Webhooks; the CloudEvents
///   webhook specification says the same).
/// * 413 is dead at once: a retry sends the very same bytes.
/// * Everything else is retried under the subscription's ordinary policy. For network errors, 408,
///   425, 429 and 5xx that is plain. Other 4xx, and 3xx (redirects are not followed, as the
///   CloudEvents specification demands), look permanent, but mostly mean a wrong token, route or
///   URL, which an operator mends while the retries run; giving up at once would lose events to it.
#[must_use]
pub fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Delivered { .. } => Verdict::Settled,
        Outcome::Refused { status: 410, .. } => Verdict::PauseSubscription {
            reason: "the receiver answered 410 Gone: it wants no more events".to_owned(),
        },
        Outcome::Refused { status: 413, .. } => Verdict::Dead {
            reason: "the receiver answered 413 Content Too Large: it takes no body of this size"
                .to_owned(),
        },
        Outcome::Refused { retry_after, .. } => Verdict::Retry {
            retry_after: *retry_after,
        },
        // An expression that fails is mended in the settings, while the retries run.
        Outcome::Unreachable { .. } | Outcome::NotRendered { .. } => {
            Verdict::Retry { retry_after: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after: Option<Duration>) -> Outcome {
        Outcome::Refused {
            status,
            retry_after,
            excerpt: String::new(),
        }
    }

    #[test]
    fn success_settles() {
        assert_eq!(
            verdict(&Outcome::Delivered { status: 204 }),
            Verdict::Settled
        );
    }

    #[test]
    fn whatever_may_pass_or_be_mended_is_retried() {
        for status in [301, 308, 400, 401, 404, 408, 422, 425, 429, 500, 503, 599] {
            let wait = Some(Duration::from_secs(9));
            assert_eq!(
                verdict(&refused(status, wait)),
                Verdict::Retry { retry_after: wait },
                "{status}"
            );
        }
        for cause in [
            Cause::Dns,
            Cause::Denied,
            Cause::Connect,
            Cause::Tls,
            Cause::Timeout,
            Cause::Broken,
        ] {
            let detail = String::new();
            let outcome = Outcome::Unreachable { cause, detail };
            assert_eq!(verdict(&outcome), Verdict::Retry { retry_after: None });
        }
    }

    #[test]
    fn only_a_receiver_that_is_too_busy_asks_for_a_rest() {
        let wait = Some(Duration::from_secs(9));
        for (status, rest) in [
            (429, wait),
            (503, wait),
            (500, None),
            (408, None),
            (301, None),
        ] {
            assert_eq!(refused(status, wait).asks_for_rest(), rest, "{status}");
        }
        assert_eq!(refused(429, None).asks_for_rest(), None);
    }

    #[test]
    fn gone_pauses_and_too_large_is_dead() {
        assert!(matches!(
            verdict(&refused(410, None)),
            Verdict::PauseSubscription { .. }
        ));
        assert!(matches!(verdict(&refused(413, None)), Verdict::Dead { .. }));
    }
}
