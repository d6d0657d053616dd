//! The tokens of an expression, and where each stands.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use winnow::ascii::multispace1;
use winnow::combinator::{alt, opt, preceded, repeat};
use winnow::error::ErrMode;
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stream};
use winnow::token::{one_of, take_while};

use crate::fault::{Fault, Span};
use crate::tree::Number;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A name, a key word, a unit, a flag.
    Word(String),
    Number(Number),
    Text(String),
    Address(IpAddr),
    Prefix(IpAddr, u8),
    Mac([u8; 6]),
    Time(u64),
    Symbol(&'static str),
    /// Behind the last.
    End,
}

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: Span,
}

/// Symbols; one that begins another stands behind it.
const SYMBOLS: [&str; 12] = ["==", "!=", "<>", "<=", ">=", "..", "=", "<", ">", "(", ")", ","];

type Input<'a> = LocatingSlice<&'a str>;
type Outcome<T> = winnow::ModalResult<T, Expected>;

/// What a token should have been.
#[derive(Clone, Copy, Debug)]
struct Expected(&'static str);

impl<I: Stream> winnow::error::ParserError<I> for Expected {
    type Inner = Self;

    fn from_input(_: &I) -> Self {
        Self(ANYTHING)
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

const ANYTHING: &str = "a name, a number, an address, a text in quotes, an operator or a parenthesis";
const COLONS: &str = "an IPv6 address, a prefix as 2001:db8::/32, or a MAC address as 00:11:22:33:44:55";
const FOUR: &str = "an IPv4 address, or a prefix as 10.0.0.0/8";
const TIME: &str = "a time of RFC 3339 from 1970 to 2554, as 2026-11-24T10:00:00Z";
const NUMBER: &str = "a number of at most 19 digits";
const QUOTE: &str = "a closing quote";

/// The tokens of a text, with [`Kind::End`] behind them.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    loop {
        space(&mut input);
        let start = input.current_token_start();
        if start >= text.len() {
            tokens.push(Token { kind: Kind::End, at: Span { start: text.len(), end: text.len() } });
            return Ok(tokens);
        }
        let kind = token.parse_next(&mut input).map_err(|error| {
            let expected = error.into_inner().map_or(ANYTHING, |Expected(what)| what);
            Fault::new(text, Span { start, end: end_of_run(text, start, expected) }, expected)
        })?;
        tokens.push(Token { kind, at: Span { start, end: input.current_token_start() } });
    }
}

/// Blanks, and what stands behind a `#` up to the end of its line.
fn space(input: &mut Input<'_>) {
    let comment = preceded('#', take_while(0.., |c| c != '\n'));
    let blank: Outcome<()> = repeat(0.., alt((multispace1.void(), comment.void()))).parse_next(input);
    // It takes nothing where there is nothing to take, and cannot fail.
    debug_assert!(blank.is_ok());
}

/// Where what cannot be read ends: at the next blank, or of an open quote at the end.
fn end_of_run(text: &str, start: usize, expected: &str) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let length = if expected == QUOTE { None } else { rest.find(|c: char| c.is_whitespace() || "(),'\"".contains(c)) };
    let first = rest.chars().next().map_or(0, char::len_utf8);
    start.saturating_add(length.unwrap_or(rest.len()).max(first))
}

fn token(input: &mut Input<'_>) -> Outcome<Kind> {
    alt((quoted, time, colons, four, number, word, symbol)).parse_next(input)
}

fn refuse<T>(what: &'static str) -> Outcome<T> {
    Err(ErrMode::Cut(Expected(what)))
}

fn give_way<T>() -> Outcome<T> {
    Err(ErrMode::Backtrack(Expected(ANYTHING)))
}

/// A text in single or double quotes; a quote inside is written twice, and a backslash is a backslash.
fn quoted(input: &mut Input<'_>) -> Outcome<Kind> {
    let quote: char = one_of(['\'', '"']).parse_next(input)?;
    let mut text = String::new();
    loop {
        text.push_str(take_while(0.., |c| c != quote).parse_next(input)?);
        if opt(quote).parse_next(input)?.is_none() {
            return refuse(QUOTE);
        }
        match opt(quote).parse_next(input)? {
            Some(quote) => text.push(quote),
            None => return Ok(Kind::Text(text)),
        }
    }
}

/// The characters of a value without quotes, up to two points.
fn run<'a>(input: &mut Input<'a>, of: fn(char) -> bool) -> Outcome<&'a str> {
    let rest: &str = input.as_ref();
    let length = rest.find(|c| !of(c)).unwrap_or(rest.len());
    let length = rest.get(..length).and_then(|run| run.find("..")).unwrap_or(length);
    if length == 0 { give_way() } else { Ok(input.next_slice(length)) }
}

/// A time begins with the four digits of the year and a hyphen.
fn time(input: &mut Input<'_>) -> Outcome<Kind> {
    let rest: &str = input.as_ref();
    let (year, behind) = rest.split_at_checked(4).unwrap_or_default();
    if year.is_empty() || !year.bytes().all(|b| b.is_ascii_digit()) || !behind.starts_with('-') {
        return give_way();
    }
    let text = run(input, |c| c.is_ascii_alphanumeric() || "-+:.".contains(c))?;
    match nanoseconds(text) {
        Some(time) => Ok(Kind::Time(time)),
        None => refuse(TIME),
    }
}

/// A time of RFC 3339, in nanoseconds since 1970 UTC.
pub(crate) fn nanoseconds(text: &str) -> Option<u64> {
    // The crate takes more than RFC 3339: a blank between date and time, hours alone. Those are refused.
    let strict = text.len() >= "1970-01-01T00:00:00Z".len() && text.as_bytes().get(10).is_some_and(|b| matches!(b, b'T' | b't'));
    let time: jiff::Timestamp = text.parse().ok().filter(|_| strict)?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// An address of IPv6, a prefix, or a MAC address: what has colons.
fn colons(input: &mut Input<'_>) -> Outcome<Kind> {
    let before = input.checkpoint();
    let text = run(input, |c| c.is_ascii_hexdigit() || c == ':' || c == '.')?;
    if !text.contains(':') {
        input.reset(&before);
        return give_way();
    }
    let Ok(address) = text.parse::<Ipv6Addr>() else {
        return mac(text).map_or_else(|| refuse(COLONS), |mac| Ok(Kind::Mac(mac)));
    };
    prefix(input, address.into(), 128, COLONS)
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

/// An address of IPv4, or a prefix: what has digits and more than one point.
fn four(input: &mut Input<'_>) -> Outcome<Kind> {
    let before = input.checkpoint();
    let text = run(input, |c| c.is_ascii_digit() || c == '.')?;
    if text.matches('.').count() < 2 || text.starts_with('.') {
        input.reset(&before);
        return give_way();
    }
    match text.parse::<Ipv4Addr>() {
        Ok(address) => prefix(input, address.into(), 32, FOUR),
        Err(_) => refuse(FOUR),
    }
}

/// The length of a prefix, if there is one. Bits behind it are cleared.
fn prefix(input: &mut Input<'_>, address: IpAddr, widest: u8, expected: &'static str) -> Outcome<Kind> {
    let length = opt(preceded('/', take_while(0.., |c: char| c.is_ascii_alphanumeric()))).parse_next(input)?;
    let Some(length) = length else { return Ok(Kind::Address(address)) };
    match length.parse::<u8>().ok().filter(|length| *length <= widest) {
        Some(length) => Ok(Kind::Prefix(first_of(address, length), length)),
        None => refuse(expected),
    }
}

/// The first address of a prefix.
fn first_of(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() & u32::MAX.checked_shl(32u32.saturating_sub(length)).unwrap_or(0)).into(),
        IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() & u128::MAX.checked_shl(128u32.saturating_sub(length)).unwrap_or(0)).into(),
    }
}

/// A number: decimal, perhaps below zero or with a fraction, or hexadecimal.
fn number(input: &mut Input<'_>) -> Outcome<Kind> {
    let rest: &str = input.as_ref();
    let digit_at = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let negative = rest.starts_with('-');
    if !digit_at(usize::from(negative)) {
        return give_way();
    }
    opt('-').parse_next(input)?;
    if !negative && opt(alt(("0x", "0X"))).parse_next(input)?.is_some() {
        let digits: &str = take_while(0.., |c: char| c.is_ascii_alphanumeric()).parse_next(input)?;
        return match u64::from_str_radix(digits, 16) {
            Ok(digits) => Ok(Kind::Number(Number { digits, decimals: 0, negative })),
            Err(_) => refuse("a hexadecimal number of at most 16 digits, as 0x0806"),
        };
    }
    let whole: &str = take_while(1.., |c: char| c.is_ascii_digit()).parse_next(input)?;
    let rest: &str = input.as_ref();
    let fraction = match rest.strip_prefix('.') {
        Some(behind) if behind.starts_with(|c: char| c.is_ascii_digit()) => {
            preceded('.', take_while(1.., |c: char| c.is_ascii_digit())).parse_next(input)?
        }
        _ => "",
    };
    match (format!("{whole}{fraction}").parse(), u8::try_from(fraction.len())) {
        (Ok(digits), Ok(decimals)) if decimals <= 19 => Ok(Kind::Number(Number { digits, decimals, negative })),
        _ => refuse(NUMBER),
    }
}

/// A name: letters, digits, underscores and points.
fn word(input: &mut Input<'_>) -> Outcome<Kind> {
    let rest: &str = input.as_ref();
    if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return give_way();
    }
    run(input, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.').map(|word| Kind::Word(word.to_owned()))
}

fn symbol(input: &mut Input<'_>) -> Outcome<Kind> {
    for symbol in SYMBOLS {
        if opt(symbol).parse_next(input)?.is_some() {
            return Ok(Kind::Symbol(symbol));
        }
    }
    give_way()
}
