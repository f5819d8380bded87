//! `[[resource]]`.

use super::{Written, cause, source_and};
use crate::webhook::Documents;

#[test]
fn every_key_of_a_resource_means_something() {
    let text = source_and(
        r#"
[[resource]]
table = "sales.deals"
name = "deal"
deleted_at = "deleted_at"
fields = ["stage", "value"]
tenant = "org_id"
related = false
documents = ["public_data"]
redact = { deleted_at = "mask", stage = "hash" }
[[resource]]
table = "posts"
documents = []
[[resource]]
table = "plain"
[[webhook]]
name = "w"
url = "http://a"
"#,
    );
    let settings = Written::new(&text).load(&[]).unwrap();
    let [deals, posts, plain] = settings.capture.resources.as_slice() else {
        panic!("{:?}", settings.capture.resources)
    };
    assert_eq!(deals.deleted_at.as_deref(), Some("deleted_at"));
    assert_eq!(deals.fields, ["stage", "value"]);
    assert_eq!(deals.tenant.as_deref(), Some("org_id"));
    assert!(!deals.related && posts.related);
    assert_eq!(posts.documents.as_deref(), Some([].as_slice()));
    let nothing = (&plain.deleted_at, &plain.tenant, &plain.documents);
    assert_eq!(nothing, (&None, &None, &None));
    let documents = [
        ("deal".to_owned(), ["public_data".to_owned()].into()),
        ("posts".to_owned(), [].into()),
    ];
    assert_eq!(
        settings.webhooks[0].endpoint.payload.documents,
        Documents::of(documents)
    );
}

#[test]
fn what_is_kept_from_events_is_told_nowhere_else() {
    let text = source_and(
        r#"[[resource]]
table = "public.deals"
exclude = ["a"]
redact = { b = "hash" }
deleted_at = "a"
fields = ["c", "a", "b", "c"]
tenant = "a"
documents = ["b", "a", "d"]
[[resource]]
table = "public.posts"
redact = { b = "hash" }
tenant = "b"
related = "no"
tenants = "x"
"#,
    );
    let cause = cause(&text);
    for part in [
        "resource[1].related: ",
        "resource[1].tenants: unknown key; did you mean `tenant`?",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
    let text = text.replace("related = \"no\"\ntenants = \"x\"\n", "");
    let cause = super::cause(&text);
    for part in [
        "resource[0].deleted_at: column \"a\" is in `exclude`",
        "resource[0].fields[1]: column \"a\" is in `exclude`",
        "resource[0].fields[3]: column \"c\" stands there already",
        "resource[0].tenant: column \"a\" is in `exclude`",
        "resource[0].documents: column \"b\" is in `redact`",
        "resource[0].documents[1]: column \"a\" is in `exclude`",
        "resource[1].tenant: column \"b\" is in `redact`",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
    assert!(cause.contains("7 problems"), "{cause}");
}
