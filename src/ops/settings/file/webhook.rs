//! `[[webhook]]`.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::lanes::{Batch, StatusAction};
use super::{SecretRef, WebhookTls};
use crate::webhook;

/// A receiver of events.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    /// A unique name of a-z, 0-9, "_" and "-".
    pub(crate) name: String,
    /// Absolute http or https URL.
    #[serde(serialize_with = "without_tokens")]
    pub(crate) url: String,
    /// Which events it wants, such as "orders.*", "*.deleted".
    #[serde(default = "everything")]
    pub(crate) events: Vec<String>,
    /// Of updates, only those that change one of these columns; other events are not affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed: Option<Vec<String>>,
    /// Only events for which this CEL expression over `new`, `old`, `changes`, `context` and
    /// `event` is true, such as "new.total > 100".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) when: Option<String>,
    /// How an event is rendered.
    #[serde(default)]
    pub(crate) format: Format,
    /// Only these columns are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fields: Option<Vec<String>>,
    /// A CEL expression whose value as JSON is the body, instead of a format's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
    /// What signs the requests: a whsec_… secret (HMAC) or a whsk_… one (ed25519), or { env = … } or
    /// { file = … }; a list of them while they rotate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Secrets>,
    /// Extra request headers: text, { env = "NAME" } or { file = "path" }.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, SecretRef>,
    /// What must arrive in order.
    #[serde(default)]
    pub(crate) order: Order,
    /// Orders by this column instead of by the row, over all tables that have it: events with the
    /// same value wait for each other. "event.tenant" is the tenant that the [[resource]] names. With
    /// order = "resource" only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order_by: Option<String>,
    /// How many requests may be in flight at once.
    #[serde(default = "concurrency")]
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) concurrency: NonZeroU16,
    /// How many requests may go out at the most, such as "200/s", "90/m", "1000/h"; retries count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<String>,
    /// Several events in one request.
    #[serde(default)]
    pub(crate) batch: Batch,
    /// Bound on one whole request and its answer.
    #[serde(default = "timeout")]
    pub(crate) timeout: String,
    /// Whom to trust over TLS, and which certificate to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<WebhookTls>,
    /// When a failed attempt is tried again.
    #[serde(default)]
    pub(crate) retry: Retry,
    /// What the attempt log keeps of its requests.
    #[serde(default)]
    pub(crate) attempts: Attempts,
    /// Where it starts reading when it is new.
    #[serde(default)]
    pub(crate) start: Start,
}

/// How an event is rendered.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// Snaapi's request with the sequence id, previous values, source and the webhook's name.
    #[default]
    Rowhook,
    /// Snaapi's request, exactly.
    Snaapi,
    /// What Hasura's event triggers send.
    Hasura,
    /// CloudEvents 1.0, structured: attributes and data in the body.
    Cloudevents,
    /// CloudEvents 1.0, binary: attributes in headers, the body is the data.
    CloudeventsBinary,
    /// CloudEvents 1.0, batched: the body is a list, of one event without batch.
    CloudeventsBatch,
    /// Sharetribe's event in its native form.
    Sharetribe,
    /// Sharetribe's event in the form of its Integration API.
    SharetribeApi,
    /// Stelace's event object.
    Stelace,
    /// Thena's platform event: created, updated, deleted.
    Thena,
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

/// What the attempt log keeps.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Attempts {
    /// Every attempt.
    #[default]
    All,
    /// Those that failed.
    Failures,
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
    /// What an answer means, by its status ("404") or its class ("3xx", "4xx", "5xx"; of 408, 410,
    /// 413, 425 and 429 only they themselves speak). Without an entry 410 pauses, 413 is dead, and
    /// everything else but 2xx is tried again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) statuses: BTreeMap<String, StatusAction>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::MIN.saturating_add(11),
            initial: "1s".into(),
            multiplier: 3.0,
            max: "2h".into(),
            statuses: BTreeMap::new(),
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

/// What may be a token in a URL is not shown. User and password are refused later; until then they are
/// not shown either.
fn without_tokens<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match reqwest::Url::parse(url) {
        Ok(url) => serializer.serialize_str(&webhook::without_tokens(&url)),
        Err(_) => serializer.serialize_str("[not a URL]"),
    }
}
