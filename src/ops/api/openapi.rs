//! Every operation with its description: the routes, and the OpenAPI 3.1 document that tells of them.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::{Document, PROBLEM_JSON};
use super::{Desk, Scope};

/// The schema of a type, when it is asked for.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One thing that the API does.
pub(crate) struct Operation {
    pub(super) scope: Scope,
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<Desk>,
    summary: &'static str,
    parameters: Vec<Parameter>,
    takes: Option<SchemaOf>,
    status: &'static str,
    media: &'static str,
    answers: SchemaOf,
}

struct Parameter {
    name: &'static str,
    place: &'static str,
    says: &'static str,
    schema: SchemaOf,
    bounds: Option<(i64, i64)>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    /// GET.
    pub(crate) fn get(path: &'static str, scope: Scope, handler: MethodRouter<Desk>) -> Self {
        Self::new("get", path, scope, handler)
    }

    /// POST.
    pub(crate) fn post(path: &'static str, scope: Scope, handler: MethodRouter<Desk>) -> Self {
        Self::new("post", path, scope, handler)
    }

    /// DELETE.
    pub(crate) fn delete(path: &'static str, scope: Scope, handler: MethodRouter<Desk>) -> Self {
        Self::new("delete", path, scope, handler)
    }

    fn new(
        method: &'static str,
        path: &'static str,
        scope: Scope,
        handler: MethodRouter<Desk>,
    ) -> Self {
        Self {
            scope,
            method,
            path,
            handler,
            summary: "",
            parameters: Vec::new(),
            takes: None,
            status: "200",
            media: "application/json",
            answers: schema_of::<Value>,
        }
    }

    /// What it does.
    #[must_use]
    pub(crate) fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// A part of the path.
    #[must_use]
    pub(crate) fn in_path<T: JsonSchema>(self, name: &'static str, says: &'static str) -> Self {
        self.parameter("path", name, says, schema_of::<T>, None)
    }

    /// A parameter of the query.
    #[must_use]
    pub(crate) fn in_query<T: JsonSchema>(self, name: &'static str, says: &'static str) -> Self {
        self.parameter("query", name, says, schema_of::<T>, None)
    }

    /// A header.
    #[must_use]
    pub(crate) fn in_header<T: JsonSchema>(self, name: &'static str, says: &'static str) -> Self {
        self.parameter("header", name, says, schema_of::<T>, None)
    }

    /// A number in the query, within bounds.
    #[must_use]
    pub(crate) fn number(self, name: &'static str, says: &'static str, from: i64, to: i64) -> Self {
        self.parameter("query", name, says, schema_of::<i64>, Some((from, to)))
    }

    fn parameter(
        mut self,
        place: &'static str,
        name: &'static str,
        says: &'static str,
        schema: SchemaOf,
        bounds: Option<(i64, i64)>,
    ) -> Self {
        self.parameters.push(Parameter {
            name,
            place,
            says,
            schema,
            bounds,
        });
        self
    }

    /// The body of the request.
    #[must_use]
    pub(crate) fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Some(schema_of::<T>);
        self
    }

    /// The body of the answer.
    #[must_use]
    pub(crate) fn answers<T: JsonSchema>(mut self) -> Self {
        self.answers = schema_of::<T>;
        self
    }

    /// The answer that something was made.
    #[must_use]
    pub(crate) fn creates<T: JsonSchema>(mut self) -> Self {
        self.status = "201";
        self.answers::<T>()
    }

    /// The answer that something will be made.
    #[must_use]
    pub(crate) fn accepts<T: JsonSchema>(mut self) -> Self {
        self.status = "202";
        self.answers::<T>()
    }

    /// The answer does not end.
    #[must_use]
    pub(crate) fn streams(mut self) -> Self {
        self.media = "text/event-stream";
        self.answers::<String>()
    }

    pub(super) fn route(self) -> Router<Desk> {
        Router::new().route(self.path, self.handler)
    }

    fn described(&self, generator: &mut SchemaGenerator) -> Value {
        let scope = self.scope.as_str();
        let parameters = self.parameters.iter().map(|it| it.described(generator));
        let parameters: Vec<Value> = parameters.collect();
        let problem = json!({ "schema": schema_of::<Document>(generator) });
        let answer = json!({ "schema": (self.answers)(generator) });
        let mut described = json!({
            "summary": self.summary,
            "operationId": format!("{}{}", self.method, self.path.replace(['/', '{', '}'], "_")),
            "security": [{ "bearer": [scope] }],
            "parameters": parameters,
            "responses": {
                self.status: { "description": "Done.", "content": { self.media: answer } },
                "default": {
                    "description": "Not done, and why.", "content": { PROBLEM_JSON: problem },
                },
            },
        });
        if let (Some(takes), Some(members)) = (self.takes, described.as_object_mut()) {
            let schema = takes(generator);
            let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
            members.insert("requestBody".to_owned(), body);
        }
        described
    }
}

impl Parameter {
    fn described(&self, generator: &mut SchemaGenerator) -> Value {
        let mut schema = (self.schema)(generator);
        if let Some((from, to)) = self.bounds {
            schema.insert("minimum".to_owned(), from.into());
            schema.insert("maximum".to_owned(), to.into());
        }
        json!({
            "name": self.name, "in": self.place, "required": self.place == "path",
            "description": self.says, "schema": schema,
        })
    }
}

/// The document.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let described = operation.described(&mut generator);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(operation.method.to_owned(), described);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rowhook",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The event log of a PostgreSQL database, and what becomes of its events. \
                Where no tokens are set, reading needs none.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer",
                "description": "A token of [api] in the settings, with the scope that is named." } },
        },
    })
}

/// `/openapi.json`: open to everyone, as it tells nothing about this database.
pub(super) fn routes(document: Value) -> Router<Desk> {
    let text = document.to_string();
    let answer = move || {
        let answer: Response =
            ([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response();
        std::future::ready(answer)
    };
    Router::new().route("/openapi.json", get(answer))
}
