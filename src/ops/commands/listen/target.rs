//! The developer's endpoint: what goes there, and how it looks.

use std::sync::Arc;

use reqwest::Url;

use super::Listen;
use crate::dispatch::pattern::Patterns;
use crate::dispatch::{Choice, Rule, Subscription};
use crate::event::Event;
use crate::fault::{Fault, Result};
use crate::ops::commands::webhooks;
use crate::ops::settings::Settings;
use crate::secret::Secret;
use crate::webhook::guard::Guard;
use crate::webhook::sign::{Scheme, SigningKey};
use crate::webhook::{
    Batch, ClientTls, Delivery, Endpoint, Format, Outcome, Payload, Renderer, Sender, delivery_id,
};

/// Tells such a request from one of a webhook.
const MARK: &str = "x-rowhook-listen";

/// Where events go.
pub(super) struct Target {
    name: String,
    url: Url,
    patterns: Option<Patterns>,
    /// Whose events they are.
    webhook: Option<Subscription>,
    renderer: Renderer,
    sender: Sender,
    /// Shown once, because the receiver needs it.
    new_secret: Option<Secret>,
}

impl Target {
    pub(super) fn of(settings: &Settings, options: &Listen) -> Result<Self> {
        let url = url(&options.forward_to)?;
        let patterns = match options.events.is_empty() {
            true => None,
            false => Some(Patterns::parse(&options.events).map_err(Fault::settings)?),
        };
        let webhook = match &options.webhook {
            Some(name) => Some(webhooks::named(settings, name)?.clone()),
            None => None,
        };
        let (keys, new_secret) = keys(options, webhook.as_ref())?;
        let mut tls = ClientTls::default();
        if options.skip_verify {
            tls.trust_anyone();
        }
        let theirs = webhook.as_ref().map(|webhook| &webhook.endpoint);
        let format = options.format.map(super::Form::format);
        let endpoint = Endpoint {
            name: theirs.map_or("listen", |theirs| &theirs.name).to_owned(),
            url: url.clone(),
            format: format
                .or(theirs.map(|theirs| theirs.format))
                .unwrap_or(Format::Rowhook),
            payload: match theirs {
                // Another format in its place is asked for with --format.
                Some(theirs) if format.is_some() => Payload {
                    body: None,
                    ..theirs.payload.clone()
                },
                Some(theirs) => theirs.payload.clone(),
                None => Payload::default(),
            },
            keys,
            // Those of a webhook are for its receiver's eyes.
            headers: Vec::new(),
            timeout: options.timeout,
            tls,
            guard: Guard::default(),
        };
        let source = Arc::from(settings.source.target.database.as_str());
        Ok(Self {
            renderer: Renderer::new(source, &endpoint),
            sender: Sender::new(&endpoint)?,
            name: endpoint.name,
            url,
            patterns,
            webhook,
            new_secret,
        })
    }

    /// Says where events go, and what they are signed with if nobody knows it yet.
    pub(super) fn introduce(&self, after: i64) {
        eprintln!(
            "events behind {after} go to {}; Ctrl-C ends it",
            self.url.origin().ascii_serialization()
        );
        if let Some(secret) = &self.new_secret {
            eprintln!("signed with {}", secret.expose());
        }
    }

    pub(super) fn choose(&self, event: &Event) -> Choice {
        if let Some(patterns) = &self.patterns
            && !patterns.matches(&event.event_type)
        {
            return Choice::Filtered(Rule::Events);
        }
        match &self.webhook {
            Some(webhook) => webhook.choose(event),
            None => Choice::Wanted,
        }
    }

    pub(super) async fn send(&self, event: &Event) -> Outcome {
        let delivery = Delivery {
            id: delivery_id(event.event_id, &self.name),
            attempt: 1,
            replay: None,
        };
        let one = [(event, delivery)];
        let in_batches = self.webhook.as_ref().is_some_and(|it| it.batch.is_some());
        let batch = Batch::of(&one, &self.name).filter(|_| in_batches);
        let body = match batch {
            Some(_) => self.renderer.render_batch(&one),
            None => self.renderer.render(event, &delivery),
        };
        let mut body = match body {
            Ok(body) => body,
            Err(reason) => return Outcome::NotRendered { reason },
        };
        body.headers.push((MARK, "true".to_owned()));
        match batch {
            Some(batch) => self.sender.send_batch(&batch, body).await,
            None => self.sender.send(event, &delivery, body).await,
        }
    }
}

fn url(text: &str) -> Result<Url> {
    let wrong = |why: String| {
        Fault::settings(format!("--forward-to {why}"))
            .next_step("write the whole URL, as http://localhost:3000/hooks")
    };
    let url = Url::parse(text).map_err(|error| wrong(format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong(format!("has the scheme {:?}", url.scheme())));
    }
    Ok(url)
}

/// The keys that sign, and the secret where it is a new one.
fn keys(
    options: &Listen,
    webhook: Option<&Subscription>,
) -> Result<(Vec<SigningKey>, Option<Secret>)> {
    if let Some(secret) = &options.secret {
        let key = SigningKey::parse(&Secret::new(secret.clone()))
            .map_err(|why| Fault::settings(format!("--secret: {why}")))?;
        return Ok((vec![key], None));
    }
    if let Some(webhook) = webhook {
        return Ok((webhook.endpoint.keys.clone(), None));
    }
    let key = SigningKey::generate(Scheme::Hmac)
        .map_err(|what| Fault::permanent(format!("cannot make a secret: {what}")))?;
    let secret = key.secret().clone();
    Ok((vec![key], Some(secret)))
}
