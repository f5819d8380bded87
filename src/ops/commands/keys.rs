//! `rowhook webhooks keygen` and `jwks`: what requests are signed with, and verified with.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::print;
use crate::fault::{Fault, Result};
use crate::ops::settings;
use crate::webhook::sign::{Scheme, SigningKey, jwks};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Makes a signing secret. Needs no settings.
    ///
    /// Standard output gets the secret alone, to go into a file; the public key goes to standard error.
    Keygen(Keygen),
    /// Prints the webhooks' public keys as a JSON Web Key Set.
    Jwks,
}

/// `rowhook webhooks keygen`
#[derive(Debug, Clone, Copy, Args)]
pub struct Keygen {
    /// What is signed with.
    #[arg(long, value_enum, default_value_t = Kind::Hmac)]
    kind: Kind,
    /// Prints JSON for programs: secret, public_key and kid.
    #[arg(long)]
    json: bool,
}

/// What is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// HMAC-SHA256: the receiver gets the same secret.
    Hmac,
    /// Ed25519: the receiver gets a public key, and cannot sign.
    Ed25519,
}

impl Keys {
    /// Does it. The settings are read only where they are asked about.
    ///
    /// # Errors
    /// If there is no randomness, the settings are wrong, or standard output cannot be written.
    pub fn run(self, path: &Path) -> Result<()> {
        match self {
            Self::Keygen(options) => keygen(options),
            Self::Jwks => print::json(&jwks(settings::load(path)?.signing_keys())),
        }
    }
}

fn keygen(options: Keygen) -> Result<()> {
    let scheme = match options.kind {
        Kind::Hmac => Scheme::Hmac,
        Kind::Ed25519 => Scheme::Ed25519,
    };
    let key = SigningKey::generate(scheme)
        .map_err(|what| Fault::permanent(format!("cannot make a secret: {what}")))?;
    let public = key.public_key();
    let secret = key.secret().expose();
    if options.json {
        return print::json(&json!({
            "secret": secret,
            "public_key": public.map(|public| public.to_string()),
            "kid": public.map(|public| public.kid()),
        }));
    }
    print::line(secret)?;
    if let Some(public) = public {
        eprintln!("public key, for the receiver: {public}");
    }
    Ok(())
}
