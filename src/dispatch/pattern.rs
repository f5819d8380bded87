//! Event patterns: `*`, `posts.*`, `*.created`, `posts.created`.

/// The `events` of a subscription: any of its patterns has to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Reads the patterns as written.
    ///
    /// # Errors
    /// A sentence that names the wrong pattern and says what is allowed.
    pub fn parse(patterns: &[String]) -> Result<Self, String> {
        Ok(Self(patterns.to_vec()))
    }
}
