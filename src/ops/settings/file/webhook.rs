//! `[[webhook]]`.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::SecretRef;

/// A receiver of events.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    /// A unique name of a-z, 0-9, "_" and "-".
    pub(crate) name: String,
    /// Absolute http or https URL.
    #[serde(serialize_with = "without_userinfo")]
    pub(crate) url: String,
    /// Which events it wants, such as "orders.*", "*.deleted".
    #[serde(default = "everything")]
    pub(crate) events: Vec<String>,
    /// How an event is rendered.
    #[serde(default)]
    pub(crate) format: Format,
    /// What signs the requests: a whsec_… secret or { env = … } or { file = … }; a list of them
    /// while they rotate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Secrets>,
    /// Extra request headers: text, { env = "NAME" } or { file = "path" }.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, SecretRef>,
    /// What must arrive in order.
    #[serde(default)]
    pub(crate) order: Order,
    /// How many requests may be in flight at once.
    #[serde(default = "concurrency")]
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) concurrency: NonZeroU16,
    /// Bound on one whole request and its answer.
    #[serde(default = "timeout")]
    pub(crate) timeout: String,
    /// When a failed attempt is tried again.
    #[serde(default)]
    pub(crate) retry: Retry,
    /// Where it starts reading when it is new.
    #[serde(default)]
    pub(crate) start: Start,
}

/// How an event is rendered.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Snaapi's request with the sequence id, previous values, source and the webhook's name.
    #[default]
    Rowhook,
    /// Snaapi's request, exactly.
    Snaapi,
}

/// One secret, or several while they rotate. Several come first: serde would read a list of two
/// texts as the two members of a [`Place`](super::secret_ref::Place), which are no secrets.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Secrets {
    /// Several: each signs.
    Several(Vec<SecretRef>),
    /// One.
    One(SecretRef),
}

/// What must arrive in order.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The events of one resource; resources do not wait for each other.
    #[default]
    Resource,
    /// Nothing.
    None,
    /// Everything, one event at a time.
    Strict,
}

/// When a failed attempt is tried again.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retry {
    /// Attempts in all, the first one included.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) attempts: NonZeroU32,
    /// Upper bound of the delay before the second attempt.
    pub(crate) initial: String,
    /// What the bound is multiplied by from attempt to attempt.
    #[schemars(range(min = 1))]
    pub(crate) multiplier: f64,
    /// The bound never exceeds this.
    pub(crate) max: String,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::MIN.saturating_add(11),
            initial: "1s".into(),
            multiplier: 3.0,
            max: "2h".into(),
        }
    }
}

/// Where a new subscription starts reading.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Start {
    /// In words.
    Word(StartWord),
    /// With this sequence id.
    At(#[schemars(range(min = 0))] i64),
    /// With the first event that was committed at this time (RFC 3339) or later.
    Since(#[schemars(extend("format" = "date-time"))] String),
}

/// Where a new subscription starts reading, in words.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StartWord {
    /// With the next event that is logged.
    Now,
    /// With the oldest event that the log still holds.
    Beginning,
}

impl Default for Start {
    fn default() -> Self {
        Self::Word(StartWord::Now)
    }
}

fn everything() -> Vec<String> {
    vec!["*".into()]
}

fn concurrency() -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(15)
}

fn timeout() -> String {
    "10s".into()
}

/// User and password in a URL are refused later; until then they are not shown either.
fn without_userinfo<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return serializer.serialize_str("[not a URL]");
    };
    if parsed.username().is_empty() && parsed.password().is_none() {
        return serializer.serialize_str(url);
    }
    // Neither fails for a URL that has a user or a password.
    let _ = parsed.set_username("redacted");
    let _ = parsed.set_password(None);
    serializer.serialize_str(parsed.as_str())
}
