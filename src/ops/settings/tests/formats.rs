//! `format` of `[[webhook]]`.

use super::{Written, cause, source_and};
use crate::webhook::Format;

fn webhook(more: &str) -> String {
    source_and(&format!(
        "[[webhook]]\nname = \"a\"\nurl = \"http://a\"\n{more}\n"
    ))
}

#[test]
fn every_format_is_known_by_its_name() {
    let retries = "retry = { attempts = 4 }";
    for (name, format) in [
        ("rowhook", Format::Rowhook),
        ("snaapi", Format::Snaapi),
        ("hasura", Format::Hasura { max_retries: 3 }),
        ("cloudevents", Format::Cloudevents),
        ("cloudevents-binary", Format::CloudeventsBinary),
        ("cloudevents-batch", Format::CloudeventsBatch),
        ("sharetribe", Format::Sharetribe),
        ("sharetribe-api", Format::SharetribeApi),
        ("stelace", Format::Stelace),
        ("thena", Format::Thena),
    ] {
        let written = Written::new(&webhook(&format!("format = \"{name}\"\n{retries}")));
        let settings = written.load(&[]).unwrap();
        assert_eq!(settings.webhooks[0].endpoint.format, format);
        assert!(written.show(&[]).contains(&format!("format = \"{name}\"")));
    }
}

#[test]
fn a_body_of_ones_own_is_shown_without_a_format() {
    let written = Written::new(&webhook("body = \"new\""));
    let shown = written.show(&[]);
    assert!(
        shown.contains("body = \"new\"") && !shown.contains("format"),
        "{shown}"
    );
    let shown = &written.show_json()["webhook"][0];
    assert_eq!(
        (shown["body"].as_str(), shown.get("format")),
        (Some("new"), None)
    );
}

#[test]
fn another_format_is_refused_with_those_there_are() {
    let cause = cause(&webhook("format = \"cloudevent\""));
    for part in [
        ":6: webhook[0].format: ",
        "\"cloudevents\"",
        "\"sharetribe-api\"",
    ] {
        assert!(cause.contains(part), "{part} in {cause}");
    }
}

#[test]
fn a_header_that_contradicts_the_format_is_refused() {
    let with = |format: &str, header: &str| {
        let headers = format!("headers = {{ {header} = \"x\" }}");
        webhook(&format!("format = \"{format}\"\n{headers}"))
    };
    for (format, header) in [
        ("cloudevents-binary", "Ce-Type"),
        ("cloudevents-binary", "ce-datacontenttype"),
        ("cloudevents", "ce-environment"),
        ("cloudevents-batch", "ce-id"),
    ] {
        let cause = cause(&with(format, header));
        let expected = format!("webhook[0].headers.{header}: is an attribute of the CloudEvent");
        assert!(cause.contains(&expected), "{format}: {cause}");
    }
    for (format, header) in [
        ("cloudevents-binary", "ce-environment"),
        ("rowhook", "ce-type"),
    ] {
        assert!(
            Written::new(&with(format, header)).load(&[]).is_ok(),
            "{format}"
        );
    }
}

#[test]
fn a_batch_is_refused_where_headers_tell_of_one_event() {
    let with = |format: &str| webhook(&format!("format = \"{format}\"\nbatch.max_events = 10"));
    let cause = cause(&with("cloudevents-binary"));
    assert!(
        cause.contains("webhook[0].format: goes with no batch"),
        "{cause}"
    );
    Written::new(&with("cloudevents")).load(&[]).unwrap();
}
