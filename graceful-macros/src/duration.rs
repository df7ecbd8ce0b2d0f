//! Durations in quotes: `"30s"`, `"1m 30s"`.

use std::{fmt::Write, time::Duration};

use syn::{Lit, parse::ParseStream};

use crate::value::{self, Spanned};

/// Reads a duration that is longer than zero.
pub(crate) fn read(input: ParseStream<'_>) -> syn::Result<Spanned<Duration>> {
    let duration = read_or_zero(input)?;
    if duration.value.is_zero() {
        return Err(syn::Error::new(
            duration.span,
            "expected more than zero, which `lame_duck` alone can be",
        ));
    }
    Ok(duration)
}

/// Reads a duration that may be zero.
pub(crate) fn read_or_zero(input: ParseStream<'_>) -> syn::Result<Spanned<Duration>> {
    let literal: Lit = value::expect(input, EXPECTED)?;
    let span = literal.span();
    let parsed = match literal {
        Lit::Str(text) => parse(&text.value()),
        Lit::Int(number) if number.base10_digits().starts_with('-') => Err(NEGATIVE.to_owned()),
        Lit::Int(number) if number.suffix().is_empty() => Err(no_unit(number.base10_digits())),
        Lit::Int(number) => Err(format!("expected a duration in quotes, write `\"{number}\"`")),
        _ => Err(EXPECTED.to_owned()),
    };
    parsed.map(|value| Spanned { value, span }).map_err(|message| syn::Error::new(span, message))
}

/// The shortest form that [`read`] accepts, `1m30s`.
pub(crate) fn display(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in UNITS.iter().rev() {
        let count = left / u128::from(*millis);
        left %= u128::from(*millis);
        if count > 0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let (part, after) = parse_part(rest)?;
        millis = millis.checked_add(part).filter(|&sum| sum <= LONGEST).ok_or(TOO_LONG)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(millis))
}

/// One number with its unit, in milliseconds, and what follows it.
fn parse_part(text: &str) -> Result<(u64, &str), String> {
    let (number, after) = split_while(text, |c| c.is_ascii_digit());
    let (unit, rest) = split_while(after, char::is_alphabetic);
    match (number, unit) {
        ("", _) if text.starts_with('-') => return Err(NEGATIVE.to_owned()),
        ("", _) => return Err(EXPECTED.to_owned()),
        (_, "") if after.starts_with(['.', ',']) => return Err(FRACTION.to_owned()),
        (_, "") => return Err(no_unit(number)),
        _ => {}
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("unknown unit `{unit}`, expected one of `ms`, `s`, `m`, `h`"));
    };
    // A number with too many digits for a `u64` is too long in every unit.
    let millis = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .ok_or(TOO_LONG)?;
    Ok((millis, rest))
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn no_unit(number: &str) -> String {
    format!("`{number}` has no unit, write `\"{number}s\"`")
}

/// In milliseconds, from short to long.
const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 60 * 60 * 1000)];

/// 365 days: longer is a slip of the pen.
const LONGEST: u64 = 365 * 24 * 60 * 60 * 1000;

const EXPECTED: &str = r#"expected a duration such as `"30s"`, `"500ms"` or `"1m 30s"`"#;
const FRACTION: &str = r#"expected whole numbers, such as `"1500ms"` for one and a half seconds"#;
const NEGATIVE: &str = "a duration cannot be negative";
const TOO_LONG: &str = "expected at most 365 days";

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse::Parser;

    #[test]
    fn durations_are_sums_of_whole_numbers_with_units() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1m", 60_000),
            ("1m30s", 90_000),
            ("1h 30m", 5_400_000),
            (" 1s  1ms ", 1_001),
            ("8760h", LONGEST),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("", EXPECTED),
            ("  ", EXPECTED),
            ("abc", EXPECTED),
            ("s", EXPECTED),
            ("30s,", EXPECTED),
            ("-1s", NEGATIVE),
            ("1.5s", FRACTION),
            ("1,5s", FRACTION),
            ("8760h1ms", TOO_LONG),
            ("18446744073709551615h", TOO_LONG),
            ("99999999999999999999ms", TOO_LONG),
            ("30", "`30` has no unit, write `\"30s\"`"),
            ("1m 30", "`30` has no unit, write `\"30s\"`"),
            ("30 s", "`30` has no unit, write `\"30s\"`"),
            ("30min", "unknown unit `min`, expected one of `ms`, `s`, `m`, `h`"),
            ("5S", "unknown unit `S`, expected one of `ms`, `s`, `m`, `h`"),
            ("10µs", "unknown unit `µs`, expected one of `ms`, `s`, `m`, `h`"),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn likely_tokens_have_their_message() {
        for (tokens, message) in [
            ("30", "`30` has no unit, write `\"30s\"`"),
            ("30s", "expected a duration in quotes, write `\"30s\"`"),
            ("-5", NEGATIVE),
            ("1.5", EXPECTED),
            ("true", EXPECTED),
            ("Duration::from_secs(5)", EXPECTED),
            ("\"0s\"", "expected more than zero, which `lame_duck` alone can be"),
        ] {
            let error = read.parse_str(tokens).map(|duration| duration.value).unwrap_err();
            assert_eq!(error.to_string(), message, "{tokens}");
        }
        assert!(read_or_zero.parse_str("\"0s\"").is_ok());
    }

    #[test]
    fn a_duration_is_displayed_as_it_is_written() {
        for text in ["0s", "500ms", "30s", "1m30s", "2s500ms", "1h", "24h"] {
            assert_eq!(display(parse(text).unwrap()), text);
        }
    }
}
