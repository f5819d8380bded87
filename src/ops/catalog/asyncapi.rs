//! The catalog as an AsyncAPI 3.0 document: a channel per resource, a message per event.
//!
//! There are no servers in it: where events go is each webhook's own affair, and its URL may hold a token.

use serde_json::{Map, Value, json};

use super::events::description;
use super::examples::Examples;
use super::values::Schemas;
use super::{Catalog, Occasion, Resource, names, schema};

/// Writes the AsyncAPI document.
#[must_use]
pub fn asyncapi(catalog: &Catalog) -> Value {
    let schemas = Schemas {
        prefix: "#/components/schemas/",
        examples: Examples { catalog },
    };
    let mut definitions = schemas.definitions(catalog);
    // Nothing that is sent.
    definitions.retain(|name, _| !name.starts_with("logged"));
    for schema in definitions.values_mut().filter_map(Value::as_object_mut) {
        // Messages have them.
        schema.remove("examples");
    }
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for resource in &catalog.resources {
        let name = names::key(&resource.name);
        let keys: Vec<String> = (resource.events.iter())
            .map(|occasion| names::key(&occasion.event_type))
            .collect();
        for (occasion, key) in resource.events.iter().zip(&keys) {
            let event = schemas.reference("event", &occasion.event_type);
            definitions.insert(format!("request.{key}"), schemas.request(&event));
            messages.insert(key.clone(), message(&schemas, resource, occasion));
        }
        channels.insert(name.clone(), channel(resource, &keys));
        operations.insert(format!("send.{name}"), operation(&name, &keys));
    }
    definitions.insert("headers".into(), headers());
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of this database",
            "version": schema::version(catalog),
            "description": "The events that rowhook sends, in format `rowhook`: each is the body of an HTTP POST, \
                            signed as Standard Webhooks has it.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": definitions },
    })
}

fn channel(resource: &Resource, keys: &[String]) -> Value {
    let messages: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let message = json!({ "$ref": format!("#/components/messages/{key}") });
            (key.clone(), message)
        })
        .collect();
    let told = resource.comment.as_deref();
    json!({
        // The URL of a webhook.
        "address": null,
        "title": resource.name,
        "description": told.map_or_else(|| format!("Events of {}.", resource.table), str::to_owned),
        "messages": messages,
    })
}

fn operation(channel: &str, keys: &[String]) -> Value {
    let messages: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "$ref": format!("#/channels/{channel}/messages/{key}") }))
        .collect();
    json!({
        "action": "send",
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": messages,
    })
}

fn message(schemas: &Schemas<'_>, resource: &Resource, occasion: &Occasion) -> Value {
    let example = schemas.examples.request(resource, occasion);
    json!({
        "name": occasion.event_type,
        "title": occasion.event_type,
        "summary": description(resource, occasion.action),
        "contentType": "application/json",
        "headers": schemas.refer("headers"),
        "payload": schemas.reference("request", &occasion.event_type),
        "examples": [{ "payload": example }],
    })
}

fn headers() -> Value {
    let text = |what: &str| json!({ "type": "string", "description": what });
    json!({
        "type": "object",
        "required": ["webhook-id", "webhook-timestamp", "x-rowhook-event", "x-rowhook-attempt"],
        "properties": {
            "webhook-id": text("The event's id: the same on every attempt."),
            "webhook-timestamp": text("When this attempt was signed, in seconds since 1970."),
            "webhook-signature": text("Signatures as Standard Webhooks has them; none where the webhook has no key."),
            "x-rowhook-subscription": text("The webhook's name."),
            "x-rowhook-event": text("The event's type."),
            "x-rowhook-event-id": text("The event's id."),
            "x-rowhook-delivery": text("The delivery's id."),
            "x-rowhook-attempt": text("Which attempt it is, from 1."),
        },
    })
}
