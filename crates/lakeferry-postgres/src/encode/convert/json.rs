//! Texts that are JSON, and those that the server would not take all the same.

use serde::de::IgnoredAny;

/// The server goes down into values by its stack, which has room for several times as many.
const MAX_DEPTH: usize = 1_000;

/// The most digits of a `numeric` before its point and after it.
const MAX_WHOLE: i64 = 131_072;
const MAX_FRACTION: i64 = 16_383;

/// What keeps `text` from being `json`.
pub(super) fn json_misfit(text: &str) -> Option<String> {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Some("a text that is no json".to_owned());
    }
    let depth = tokens(text).scan(0_usize, |depth, token| {
        match token {
            Token::Opens => *depth += 1,
            Token::Closes => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    let is_deep = depth.max().is_some_and(|deepest| deepest > MAX_DEPTH);
    is_deep.then(|| format!("a json value of more than {MAX_DEPTH} levels"))
}

/// What keeps `text` from being `jsonb`, but for its length and the character NUL, which are looked at
/// whatever it comes from.
pub(super) fn jsonb_misfit(text: &str) -> Option<String> {
    json_misfit(text).or_else(|| {
        tokens(text).find_map(|token| match token {
            Token::Number(number) if !is_numeric(number) => {
                Some("a number in json that numeric cannot hold".to_owned())
            }
            Token::Text(text) if has_half_a_pair(text) => {
                Some("a text in json with half of a surrogate pair".to_owned())
            }
            _ => None,
        })
    })
}

enum Token<'a> {
    Opens,
    Closes,
    /// As it is written, without its quotes.
    Text(&'a str),
    Number(&'a str),
}

/// The parts of `text`, which is JSON.
fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let first = rest.bytes().next()?;
            let (token, length) = match first {
                b'{' | b'[' => (Some(Token::Opens), 1),
                b'}' | b']' => (Some(Token::Closes), 1),
                b'"' => {
                    let length = text_length(&rest[1..]);
                    (Some(Token::Text(&rest[1..=length])), length + 2)
                }
                b'-' | b'0'..=b'9' => {
                    let is_other = |letter: char| !"+-.eE0123456789".contains(letter);
                    let length = rest.find(is_other).unwrap_or(rest.len());
                    (Some(Token::Number(&rest[..length])), length)
                }
                // Words, commas and blanks, which are of one byte each.
                _ => (None, 1),
            };
            rest = &rest[length..];
            if token.is_some() {
                return token;
            }
        }
    })
}

/// How many bytes there are before the quote that ends a text.
fn text_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

fn is_numeric(number: &str) -> bool {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches('-').len() as i64;
    let Ok(exponent) = exponent.trim_start_matches('+').parse::<i32>() else {
        return false;
    };
    let exponent = i64::from(exponent);
    whole + exponent <= MAX_WHOLE && fraction.len() as i64 - exponent <= MAX_FRACTION
}

/// Whether an escape stands for one half of a character beyond 16 bits, and the other is not beside it.
fn has_half_a_pair(text: &str) -> bool {
    let mut rest = text;
    let mut waits = false;
    while let Some(at) = rest.find('\\') {
        if waits && at > 0 {
            return true;
        }
        let unit = rest[at + 1..].strip_prefix('u');
        let unit = unit.and_then(|digits| u16::from_str_radix(digits.get(..4)?, 16).ok());
        let is_first = unit.is_some_and(|unit| (0xd800..0xdc00).contains(&unit));
        let is_second = unit.is_some_and(|unit| (0xdc00..0xe000).contains(&unit));
        if waits != is_second {
            return true;
        }
        waits = is_first;
        rest = rest
            .get(at + if unit.is_some() { 6 } else { 2 }..)
            .unwrap_or("");
    }
    waits
}
