//! `format` of `[[webhook]]`.

use super::Reader;
use crate::ops::settings::file::{self, Webhook};
use crate::webhook::Format;

impl Reader<'_> {
    /// The format of the webhook whose path, with its dot, is `at`; refuses what does not go with
    /// it.
    pub(super) fn format(&mut self, at: &str, written: &Webhook) -> Format {
        let format = format(written);
        if written.batch.max_events > 1 && !format.has_batches() {
            let what = "goes with no batch: its headers tell of one event; choose \"cloudevents-batch\", or leave batch out";
            self.problems.refuse(&format!("{at}format"), what);
        }
        for name in written.headers.keys() {
            if format.is_own_header(&name.to_lowercase()) {
                let what = "is an attribute of the CloudEvent, and rowhook's to set; remove it";
                self.problems.refuse(&format!("{at}headers.{name}"), what);
            }
        }
        format
    }
}

/// The format, with what it tells of the webhook's other settings.
fn format(written: &Webhook) -> Format {
    match written.format {
        file::Format::Rowhook => Format::Rowhook,
        file::Format::Snaapi => Format::Snaapi,
        file::Format::Hasura => Format::Hasura {
            max_retries: written.retry.attempts.get() - 1,
        },
        file::Format::Cloudevents => Format::Cloudevents,
        file::Format::CloudeventsBinary => Format::CloudeventsBinary,
        file::Format::CloudeventsBatch => Format::CloudeventsBatch,
        file::Format::Sharetribe => Format::Sharetribe,
        file::Format::SharetribeApi => Format::SharetribeApi,
        file::Format::Stelace => Format::Stelace,
        file::Format::Thena => Format::Thena,
    }
}
