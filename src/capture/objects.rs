//! The objects that custom events are about: their rows' last events, in memory or in the log.
//!
//! Rows are remembered only of resources that custom events with a resource id have named, from then
//! on. What the batch held of them before that is handed to the writer first, so that the log can tell.

use std::collections::HashSet;
use std::sync::Arc;

use bytestring::ByteString;

use super::recall::Recall;
use crate::event::{Action, Draft};
use crate::event_log::objects::Object;

/// Resources whose rows are remembered at the most.
const MOST_RESOURCES: usize = 1024;

/// What is known of objects without asking.
#[derive(Debug, Default)]
pub(super) struct Objects {
    followed: HashSet<Arc<str>>,
    known: Recall,
    /// The batch may hold rows of a resource from before that was followed.
    is_behind: bool,
}

impl Objects {
    /// Whether the log has to be asked for an object. Its resource is followed from here on.
    pub(super) fn lack(&mut self, resource: &str, id: &str) -> bool {
        if self.followed.contains(resource) {
            return self.known.get(resource, id).is_none();
        }
        if self.followed.len() >= MOST_RESOURCES {
            *self = Self::default();
        }
        self.followed.insert(Arc::from(resource));
        self.is_behind = true;
        true
    }

    /// Whether the log has to be asked for an object of a resource that is followed already.
    pub(super) fn lack_of_followed(&self, resource: &str, id: &str) -> bool {
        self.followed.contains(resource) && self.known.get(resource, id).is_none()
    }

    /// The object as it is known.
    pub(super) fn get(&self, resource: &str, id: &str) -> Option<&ByteString> {
        self.known.get(resource, id).flatten()
    }

    /// Takes what the log has told.
    pub(super) fn put(&mut self, object: Object, record: Option<ByteString>) {
        let resource = Arc::from(object.resource);
        self.known.put(&resource, object.resource_id.into(), record);
    }

    /// A row event goes into the batch.
    pub(super) fn saw(&mut self, resource: &Arc<str>, draft: &Draft<'_>) {
        if !self.followed.contains(&**resource) {
            return;
        }
        if draft.action == Action::Truncated {
            // Only the log can tell which rows came before it.
            self.followed.remove(&**resource);
            self.known.forget(resource);
            return;
        }
        // An event of one field goes with one of the whole row.
        if let Some(id) = draft
            .resource_id
            .filter(|_| draft.action != Action::Changed)
        {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into();
            // As the log tells it: one that was deleted softly is gone.
            let gone = draft.action == Action::Deleted;
            let record = draft.live_record().filter(|_| !gone).map(text);
            self.known.put(resource, text(id), record);
        }
    }

    /// The values of an object were erased from the log: what is remembered of it is not known any more.
    pub(super) fn forget(&mut self, resource: &str, id: &str) {
        if self.known.get(resource, id).is_some() {
            self.known.put(&Arc::from(resource), id.into(), None);
        }
    }

    /// Whether the batch has to be handed over before the log is asked.
    pub(super) fn are_behind(&self) -> bool {
        self.is_behind
    }

    /// The batch is empty: all of it was handed over.
    pub(super) fn caught_up(&mut self) {
        self.is_behind = false;
    }

    /// The batch was handed over, as [`Recall::handed_over`] has it.
    pub(super) fn handed_over(&mut self) {
        self.known.handed_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(resource: &str, id: &str) -> Object {
        Object {
            resource: resource.to_owned(),
            resource_id: id.to_owned(),
        }
    }

    fn row<'a>(action: Action, record: &'a str) -> Draft<'a> {
        Draft {
            action,
            resource_id: Some(b"1"),
            record: Some(record.as_bytes()),
            ..Draft::truncated()
        }
    }

    #[test]
    fn rows_are_remembered_once_somebody_asks_for_their_resource() {
        let mut objects = Objects::default();
        let posts: Arc<str> = Arc::from("posts");
        objects.saw(&posts, &row(Action::Created, "{}"));
        assert!(objects.lack("posts", "1") && objects.are_behind());
        objects.caught_up();
        assert!(objects.lack("posts", "1") && !objects.are_behind());
        objects.put(object("posts", "1"), Some("{\"v\":1}".into()));
        assert!(!objects.lack("posts", "1"));
        objects.saw(&posts, &row(Action::Updated, "{\"v\":2}"));
        assert_eq!(objects.get("posts", "1"), Some(&"{\"v\":2}".into()));
        objects.saw(&posts, &row(Action::Deleted, "{\"v\":2}"));
        assert!(!objects.lack("posts", "1"));
        assert_eq!(objects.get("posts", "1"), None);
    }

    #[test]
    fn after_a_truncate_the_log_is_asked_again() {
        let mut objects = Objects::default();
        objects.lack("posts", "1");
        objects.caught_up();
        objects.put(object("posts", "1"), Some("{}".into()));
        objects.saw(&Arc::from("posts"), &Draft::truncated());
        assert!(objects.lack("posts", "1") && objects.are_behind());
        assert_eq!(objects.get("posts", "1"), None);
    }

    #[test]
    fn not_every_resource_is_followed_for_ever() {
        let mut objects = Objects::default();
        for number in 0..=MOST_RESOURCES {
            objects.lack(&format!("r{number}"), "1");
        }
        assert_eq!(objects.followed.len(), 1);
    }
}
