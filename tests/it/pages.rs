//! The examples that other systems print on the pages that describe their events: statements on a real
//! server lead to each of them. `tests/data/pages` has what is printed; of what a page only hints at
//! (`...`, `// Updated deal data`), what it leaves out is left out there.

mod compared;
mod statements;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use toml::{Table, toml};

use crate::capture::Captured;
use crate::daemon::Rowhook;
use crate::receiver::Receiver;
use crate::served::accepted;

/// A printed example: of which page, under which name, what it is compared with.
struct Example {
    page: &'static str,
    name: &'static str,
    /// Format of the webhook that sends it.
    format: &'static str,
    /// Its event's place among those of the webhook, from 0.
    event: usize,
    /// Where in the request it stands.
    at: &'static str,
    /// Whether the page prints all of it: then nothing else may be sent.
    whole: bool,
}

const fn example(
    page: &'static str,
    name: &'static str,
    format: &'static str,
    event: usize,
) -> Example {
    Example {
        page,
        name,
        format,
        event,
        at: "",
        whole: false,
    }
}

const EXAMPLES: &[Example] = &[
    Example {
        at: "/event/data",
        ..example("snaapi", "data", "snaapi", 0)
    },
    example("sharetribe", "native form", "sharetribe", 1),
    example(
        "sharetribe",
        "form of the Integration API",
        "sharetribe-api",
        1,
    ),
    Example {
        whole: true,
        ..example(
            "sharetribe",
            "resource data and previous values",
            "sharetribe",
            3,
        )
    },
    Example {
        whole: true,
        ..example("stelace", "example", "stelace", 0)
    },
    example("stelace", "custom event", "stelace", 1),
    example("space-cloud", "queueing", "cloudevents", 0),
    example("space-cloud", "event payload", "cloudevents", 1),
    example("thena", "created", "thena", 0),
    example("thena", "updated", "thena", 1),
    example("thena", "field event", "thena", 2),
    example("thena", "deleted", "thena", 3),
];

/// Why types of an application's own are not as printed: `sent-email` is `app.sent-email`.
const DOT: &str = "a type has a dot, so that patterns match it";

/// What is not as printed, everywhere for one reason: page, example (`*` for all), place, reason.
const ASIDE: &[(&str, &str, &str, &str)] = &[
    ("sharetribe", "*", "/id", "an id of its own"),
    ("stelace", "*", "/id", "an id of its own"),
    ("stelace", "custom event", "/type", DOT),
    ("space-cloud", "*", "/type", DOT),
    ("space-cloud", "*", "/id", "an id of its own"),
    ("space-cloud", "*", "/time", "a time of its own"),
    (
        "space-cloud",
        "*",
        "/source",
        "CloudEvents wants a URI reference",
    ),
    (
        "space-cloud",
        "*",
        "/specversion",
        "a release candidate of what is 1.0 by now",
    ),
    (
        "sharetribe",
        "resource data and previous values",
        "/sequenceId",
        "the place in this log",
    ),
    (
        "sharetribe",
        "resource data and previous values",
        "/createdAt",
        "a time of its own",
    ),
    ("stelace", "*", "/createdDate", "a time of its own"),
    (
        "sharetribe",
        "resource data and previous values",
        "/marketplaceId",
        "a tenant is a column, and the resource would show it",
    ),
    (
        "sharetribe",
        "form of the Integration API",
        "/attributes/resource/relationships",
        "a foreign key stays the column that it is",
    ),
    (
        "thena",
        "field event",
        "/eventData/fieldChange/changedAt",
        "a time of its own",
    ),
];

/// Formats, and the events that they are sent.
const WEBHOOKS: [(&str, &[&str]); 6] = [
    ("snaapi", &["posts.*"]),
    ("sharetribe", &["listing.*"]),
    ("sharetribe-api", &["listing.*"]),
    ("stelace", &["asset.*", "app.custom-event"]),
    ("thena", &["deal.*"]),
    ("cloudevents", &["app.sent-email", "app.my-custom-event"]),
];

fn printed(page: &str) -> BTreeMap<String, Value> {
    let file = format!("tests/data/pages/{page}.json");
    let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn webhook(format: &str, events: &[&str]) -> Table {
    let mut webhook = toml! { order = "strict" };
    webhook.insert("format".into(), format.into());
    webhook.insert("events".into(), events.to_vec().into());
    webhook
}

/// The bodies of each format's requests, in order.
async fn requests() -> BTreeMap<&'static str, Vec<Value>> {
    let mut receivers = Vec::new();
    for _ in WEBHOOKS {
        receivers.push(Receiver::start().await);
    }
    let settings = |rowhook: Rowhook| {
        let deal = toml! { table = "public.deal" fields = ["stage"] };
        let documents = ["privateData", "publicData", "metadata"];
        let mut listing = toml! { table = "public.listing" };
        listing.insert("documents".into(), documents.to_vec().into());
        let rowhook = rowhook.resource(deal).resource(listing);
        let webhooks = WEBHOOKS.iter().zip(&receivers);
        webhooks.fold(rowhook, |rowhook, ((format, events), receiver)| {
            rowhook.webhook_to(format, receiver, webhook(format, events))
        })
    };
    let captured = Captured::with(statements::TABLES, settings).await;
    for statement in statements::CHANGES {
        captured.execute(statement).await;
    }
    let mut sent = BTreeMap::new();
    for ((format, _), receiver) in WEBHOOKS.iter().zip(&receivers) {
        let needed = EXAMPLES.iter().filter(|example| example.format == *format);
        let events = needed.map(|example| example.event + 1).max().unwrap_or(0);
        let requests = accepted(receiver, events as i64).await;
        sent.insert(
            *format,
            requests.iter().map(|request| request.json()).collect(),
        );
    }
    sent
}

#[tokio::test]
async fn every_printed_example_comes_about_by_statements_on_a_server() {
    let sent: BTreeMap<&str, Vec<Value>> = requests().await;
    let (mut wrong, mut excused) = (Vec::new(), BTreeSet::new());
    let mut compared: BTreeSet<(&str, String)> = BTreeSet::new();
    for example in EXAMPLES {
        let printed = printed(example.page).remove(example.name).unwrap();
        let body = &sent[example.format][example.event];
        let found = body.pointer(example.at).unwrap();
        for (place, difference) in compared::differences(&printed, found, example.whole) {
            let aside = ASIDE.iter().position(|(page, name, at, _)| {
                let named = *page == example.page && (*name == "*" || *name == example.name);
                let within = place.strip_prefix(at);
                named && within.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            match aside {
                Some(index) => drop(excused.insert(index)),
                None => wrong.push(format!(
                    "{}, {}: {place}: {difference}",
                    example.page, example.name
                )),
            }
        }
        compared.insert((example.page, example.name.to_owned()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let idle = (0..ASIDE.len()).filter(|index| !excused.contains(index));
    let idle: Vec<_> = idle.map(|index| ASIDE[index]).collect();
    assert!(idle.is_empty(), "these are as printed by now: {idle:?}");
    for page in ["snaapi", "sharetribe", "stelace", "thena", "space-cloud"] {
        for name in printed(page).into_keys() {
            assert!(compared.contains(&(page, name.clone())), "{page}: {name}");
        }
    }
}
