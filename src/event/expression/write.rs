//! An expression's value → JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, ListExpr, MapExpr, operators};
use cel::common::types::CelBool;
use cel::objects::{Key, Map, OptionalValue};
use cel::{Context, Value};

use super::Variable;
use super::reader::member;
use super::reason::reason;
use super::variables::{Scene, Side};
use crate::event::Fields;

type Written = Result<(), String>;

/// Writes the value of an expression. What is written out in it as an object, a list or a choice
/// between them is followed, so that keys keep their order and columns their text.
pub(super) fn write(
    out: &mut Vec<u8>,
    expression: &IdedExpr,
    context: &Context<'_, '_>,
    scene: &Scene<'_>,
) -> Written {
    match &expression.expr {
        Expr::Map(map) if !has_optional_entry(map) => write_map(out, map, context, scene),
        Expr::List(list) if list.optional_indices.is_empty() => {
            write_list(out, list, context, scene)
        }
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => {
            if let [condition, one, other] = call.args.as_slice() {
                let chosen = if holds(condition, context, scene)? {
                    one
                } else {
                    other
                };
                return write(out, chosen, context, scene);
            }
            write_value(out, &evaluated(expression, context, scene)?)
        }
        Expr::Ident(name) => match Variable::named(name).and_then(|name| scene.side(name)) {
            Some(Side::Row(row)) => {
                write_row(out, row);
                Ok(())
            }
            _ => write_value(out, &evaluated(expression, context, scene)?),
        },
        _ => match taken_over(expression, scene) {
            Some(json) => {
                out.extend_from_slice(json.as_bytes());
                Ok(())
            }
            None => write_value(out, &evaluated(expression, context, scene)?),
        },
    }
}

fn evaluated(
    expression: &IdedExpr,
    context: &Context<'_, '_>,
    scene: &Scene<'_>,
) -> Result<Value, String> {
    Value::resolve(expression, context).map_err(|error| reason(&error, &scene.unreadable))
}

fn holds(
    expression: &IdedExpr,
    context: &Context<'_, '_>,
    scene: &Scene<'_>,
) -> Result<bool, String> {
    let value = Value::resolve_val(expression, context)
        .map_err(|error| reason(&error, &scene.unreadable))?;
    match value.downcast_ref::<CelBool>() {
        Some(verdict) => Ok(*verdict.inner()),
        None => Err("what stands before `?` is not true or false".to_owned()),
    }
}

/// A column, or a part of one, that the expression takes over as it stands: its JSON text.
fn taken_over<'v>(expression: &IdedExpr, scene: &Scene<'v>) -> Option<&'v str> {
    if let Some((variable, name, guarded)) = member(expression) {
        return (!guarded).then(|| scene.column(variable, name))?;
    }
    match &expression.expr {
        Expr::Select(select) if !select.test => {
            let object = Fields::read(taken_over(&select.operand, scene)?)?;
            object.named(&select.field).map(|member| member.value)
        }
        _ => None,
    }
}

fn has_optional_entry(map: &MapExpr) -> bool {
    let optional = |entry: &EntryExpr| match entry {
        EntryExpr::MapEntry(entry) => entry.optional,
        EntryExpr::StructField(_) => true,
    };
    map.entries.iter().any(|entry| optional(&entry.expr))
}

fn write_map(
    out: &mut Vec<u8>,
    map: &MapExpr,
    context: &Context<'_, '_>,
    scene: &Scene<'_>,
) -> Written {
    let mut seen = Vec::new();
    out.push(b'{');
    for entry in &map.entries {
        let EntryExpr::MapEntry(entry) = &entry.expr else {
            continue;
        };
        let key: Key = evaluated(&entry.key, context, scene)?
            .try_into()
            .map_err(|_| "an object's key is neither text nor a number".to_owned())?;
        let key = key.to_string();
        if !seen.is_empty() {
            out.push(b',');
        }
        write_text(out, &key);
        if seen.contains(&key) {
            return Err("an object has the same key twice".to_owned());
        }
        seen.push(key);
        out.push(b':');
        write(out, &entry.value, context, scene)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_list(
    out: &mut Vec<u8>,
    list: &ListExpr,
    context: &Context<'_, '_>,
    scene: &Scene<'_>,
) -> Written {
    out.push(b'[');
    for (index, item) in list.elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item, context, scene)?;
    }
    out.push(b']');
    Ok(())
}

fn write_row(out: &mut Vec<u8>, row: &Fields<'_>) {
    out.push(b'{');
    for (index, member) in row.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(member.key.as_bytes());
        out.push(b':');
        out.extend_from_slice(member.value.as_bytes());
    }
    out.push(b'}');
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing into memory cannot fail.
    let _infallible = serde_json::to_writer(out, text);
}

/// Writes a value that was worked out.
fn write_value(out: &mut Vec<u8>, value: &Value) -> Written {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::UInt(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Float(number) if number.is_finite() => {
            let _infallible = serde_json::to_writer(out, number);
        }
        Value::Float(_) => return Err("it gives a number that JSON does not have".to_owned()),
        Value::String(text) => write_text(out, text),
        Value::Bytes(bytes) => write_text(out, &BASE64.encode(bytes.as_slice())),
        Value::Timestamp(time) => write_text(out, &timestamp(time)),
        Value::Duration(duration) => write_text(out, &seconds(duration)),
        Value::List(items) => return write_items(out, items),
        Value::Map(map) => return write_entries(out, map),
        Value::Opaque(_) => match <&OptionalValue>::try_from(value).map(OptionalValue::value) {
            Ok(Some(value)) => return write_value(out, value),
            Ok(None) => out.extend_from_slice(b"null"),
            Err(_) => return Err(NOT_JSON.to_owned()),
        },
        Value::Function(..) | Value::Struct(_) => return Err(NOT_JSON.to_owned()),
    }
    Ok(())
}

fn write_items(out: &mut Vec<u8>, items: &[Value]) -> Written {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_value(out, item)?;
    }
    out.push(b']');
    Ok(())
}

/// Sorted by key: the interpreter does not keep their order.
fn write_entries(out: &mut Vec<u8>, map: &Map) -> Written {
    let mut entries: Vec<_> = map
        .map
        .iter()
        .map(|(key, value)| (key.to_string(), value))
        .collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    out.push(b'{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(out, &key);
        out.push(b':');
        write_value(out, value)?;
    }
    out.push(b'}');
    Ok(())
}

const NOT_JSON: &str = "it gives something that JSON does not have";

fn timestamp(time: &chrono::DateTime<chrono::FixedOffset>) -> String {
    time.to_utc()
        .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// As protobuf's JSON has it: `-1.5s`.
fn seconds(duration: &chrono::Duration) -> String {
    let sign = if *duration < chrono::Duration::zero() {
        "-"
    } else {
        ""
    };
    let (whole, nanos) = (
        duration.num_seconds().unsigned_abs(),
        duration.subsec_nanos(),
    );
    match nanos.unsigned_abs() {
        0 => format!("{sign}{whole}s"),
        nanos => {
            let fraction = format!("{nanos:09}");
            format!("{sign}{whole}.{}s", fraction.trim_end_matches('0'))
        }
    }
}
