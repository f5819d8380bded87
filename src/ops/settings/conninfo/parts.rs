//! A connection string cut into its options, and put together again.

use std::iter::Peekable;
use std::str::Chars;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What would end an option's value in a URL, or is not read as itself there. `@` is among them
/// since tokio-postgres takes the first one in the whole string for the end of the password.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'%')
    .add(b'&')
    .add(b'=')
    .add(b'#')
    .add(b'@');

/// A connection string.
pub(super) struct Parts {
    /// Of a URL everything before the `?`, as written.
    pub(super) base: Option<String>,
    /// Option names and values, decoded.
    pub(super) options: Vec<(String, String)>,
}

impl Parts {
    pub(super) fn of(text: &str) -> Result<Self, String> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Ok(Self {
                base: None,
                options: keywords(text)?,
            });
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        // Else a part of the password could be taken for the host, which messages name.
        if query.contains('@') || base.matches('@').count() > 1 {
            return Err(
                "has an `@` beside the one before the host; in a password or an option \
                 write @ as %40, ? as %3F, / as %2F"
                    .into(),
            );
        }
        let options = query.split('&').filter(|option| !option.is_empty());
        Ok(Self {
            base: Some(base.into()),
            options: options.map(url_option).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn assemble(&self) -> String {
        let Some(base) = &self.base else {
            let options = self.options.iter();
            let options: Vec<String> = options
                .map(|(key, value)| format!("{key}={}", quoted(value)))
                .collect();
            return options.join(" ");
        };
        let mut url = base.clone();
        for (index, (key, value)) in self.options.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.extend(utf8_percent_encode(key, RESERVED));
            url.push('=');
            url.extend(utf8_percent_encode(value, RESERVED));
        }
        url
    }
}

fn url_option(option: &str) -> Result<(String, String), String> {
    let (key, value) = option
        .split_once('=')
        .ok_or("has an option without a value after its `?`")?;
    let decode = |text| {
        percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| "has an option that is not UTF-8".to_owned())
    };
    Ok((decode(key)?.into_owned(), decode(value)?.into_owned()))
}

fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && c != '\'' && c != '\\';
    if !value.is_empty() && value.chars().all(plain) {
        return value.into();
    }
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

/// `key = value` pairs with spaces between them. A value with spaces is quoted with `'`; `\` takes
/// the next character as it is.
fn keywords(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut options = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        skip_spaces(&mut rest);
        if rest.peek().is_none() {
            return Ok(options);
        }
        let mut key = String::new();
        while let Some(c) = rest.next_if(|c| !c.is_whitespace() && *c != '=') {
            key.push(c);
        }
        skip_spaces(&mut rest);
        if rest.next() != Some('=') {
            return Err(
                "is neither a postgres:// URL nor keywords such as host=db.internal dbname=shop: \
                 expected `=`"
                    .into(),
            );
        }
        skip_spaces(&mut rest);
        let value = keyword_value(&mut rest)?;
        options.push((key, value));
    }
}

fn keyword_value(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let is_quoted = rest.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match rest.next_if(|c| is_quoted || !c.is_whitespace()) {
            Some('\'') if is_quoted => return Ok(value),
            Some('\\') => value.extend(rest.next()),
            Some(c) => value.push(c),
            None if is_quoted => return Err("has a quote that is never closed".into()),
            None => return Ok(value),
        }
    }
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
}
