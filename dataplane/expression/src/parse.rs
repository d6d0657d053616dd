//! The grammar: tokens become a tree.
//!
//! ```text
//! expression = conjunction { "or" conjunction }
//! conjunction = negation { "and" negation }
//! negation   = { "not" } ( "(" expression ")" | test )
//! test       = subject [ relation ]
//! subject    = NAME | NAME "(" [ literal { "," literal } ] ")"
//! relation   = comparison literal | [ "not" ] "in" ( list | literal ) | [ "not" ] "between" literal "and" literal
//!            | [ "not" ] ( "like" | "ilike" | "matches" ) TEXT | "has" ( list | literal ) | "is" [ "not" ] "null"
//! list       = "(" literal [ ".." literal ] { "," literal [ ".." literal ] } ")"
//! ```

use winnow::combinator::{alt, cut_err, opt, repeat, separated};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{Stream, TokenSlice};
use winnow::token::any;

use crate::fault::{Fault, Refused, Span};
use crate::limits::{DEPTH_MAX, LENGTH_MAX};
use crate::token::{Kind, Token, tokens};
use crate::tree::{Comparison, Item, Literal, Name, Relation, Subject, Test, Tree, Unit, Value};

/// Words that are no names.
pub(crate) const KEYWORDS: [&str; 13] =
    ["and", "or", "not", "in", "between", "like", "ilike", "matches", "has", "is", "null", "true", "false"];

type Tokens<'t> = TokenSlice<'t, Token>;
type Outcome<T> = winnow::ModalResult<T, Expected>;

/// What was expected, and how many tokens were left there.
#[derive(Clone, Debug)]
struct Expected {
    left: usize,
    what: &'static str,
}

impl ParserError<Tokens<'_>> for Expected {
    type Inner = Self;

    fn from_input(input: &Tokens<'_>) -> Self {
        Self { left: input.eof_offset(), what: "an expression" }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// Reads a text.
pub(crate) fn parse(text: &str) -> Result<Tree, Refused> {
    let refused = |fault| Refused { faults: vec![fault] };
    if text.len() > LENGTH_MAX {
        let at = Span { start: LENGTH_MAX, end: LENGTH_MAX };
        let mut fault = Fault::new("", at, format!("at most {LENGTH_MAX} octets"));
        fault.found = format!("{} octets", text.len());
        return Err(refused(fault));
    }
    let tokens = tokens(text).map_err(refused)?;
    // Only parentheses nest, so their depth bounds the recursion of whatever goes over a tree.
    let mut depth = 0usize;
    for token in &tokens {
        match token.kind {
            Kind::Symbol("(") => depth = depth.saturating_add(1),
            Kind::Symbol(")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(refused(Fault::new(text, token.at, format!("at most {DEPTH_MAX} open parentheses"))));
        }
    }
    let mut input = TokenSlice::new(&tokens);
    let whole = |input: &mut Tokens<'_>| {
        let tree = expression(input)?;
        expect(end, "`and`, `or`, a comparison, or the end").parse_next(input)?;
        Ok(tree)
    };
    let found: Outcome<Tree> = { whole }.parse_next(&mut input);
    found.map_err(|error| {
        let (left, what) = error.into_inner().map_or((1, "an expression"), |Expected { left, what }| (left, what));
        let at = tokens.get(tokens.len().saturating_sub(left)).map_or_else(Span::default, |token| token.at);
        refused(Fault::new(text, at, what))
    })
}

/// Says what was expected where a parser takes nothing.
fn expect<'t, T>(
    mut parser: impl Parser<Tokens<'t>, T, ErrMode<Expected>>,
    what: &'static str,
) -> impl Parser<Tokens<'t>, T, ErrMode<Expected>> {
    move |input: &mut Tokens<'t>| {
        let before = input.eof_offset();
        parser
            .parse_next(input)
            .map_err(|error| error.map(|inner: Expected| if inner.left == before { Expected { what, ..inner } } else { inner }))
    }
}

fn keyword<'t>(word: &'static str) -> impl Parser<Tokens<'t>, (), ErrMode<Expected>> {
    any.verify_map(move |token: &Token| match &token.kind {
        Kind::Word(found) if found.eq_ignore_ascii_case(word) => Some(()),
        _ => None,
    })
}

fn symbol<'t>(symbol: &'static str) -> impl Parser<Tokens<'t>, (), ErrMode<Expected>> {
    any.verify_map(move |token: &Token| (token.kind == Kind::Symbol(symbol)).then_some(()))
}

fn end(input: &mut Tokens<'_>) -> Outcome<()> {
    any.verify_map(|token: &Token| (token.kind == Kind::End).then_some(())).parse_next(input)
}

fn expression(input: &mut Tokens<'_>) -> Outcome<Tree> {
    let parts: Vec<Tree> = separated(1.., conjunction, keyword("or")).parse_next(input)?;
    Ok(several(parts, Tree::Or))
}

fn conjunction(input: &mut Tokens<'_>) -> Outcome<Tree> {
    let parts: Vec<Tree> = separated(1.., negation, keyword("and")).parse_next(input)?;
    Ok(several(parts, Tree::And))
}

/// One part is itself.
fn several(mut parts: Vec<Tree>, of: fn(Vec<Tree>) -> Tree) -> Tree {
    match (parts.len(), parts.pop()) {
        (1, Some(part)) => part,
        (_, last) => {
            parts.extend(last);
            of(parts)
        }
    }
}

const PRIMARY: &str = "a field, a function, `not` or `(`";

fn negation(input: &mut Tokens<'_>) -> Outcome<Tree> {
    let count: usize = repeat(0.., keyword("not")).parse_next(input)?;
    let tree = if opt(symbol("(")).parse_next(input)?.is_some() {
        let inner = cut_err(expression).parse_next(input)?;
        cut_err(expect(symbol(")"), "`and`, `or`, a comparison, or `)`")).parse_next(input)?;
        inner
    } else {
        cut_err(expect(test, PRIMARY)).parse_next(input)?
    };
    Ok(match tree {
        tree if count.is_multiple_of(2) => tree,
        // `not not x` is x, with parentheses or without: so what is printed is read as what it was.
        Tree::Not(inner) => *inner,
        tree => Tree::Not(Box::new(tree)),
    })
}

fn test(input: &mut Tokens<'_>) -> Outcome<Tree> {
    let name = name.parse_next(input)?;
    let subject = if opt(symbol("(")).parse_next(input)?.is_some() {
        let arguments: Vec<Literal> = cut_err(expect(separated(0.., literal, symbol(",")), "a field or a value")).parse_next(input)?;
        cut_err(expect(symbol(")"), "`,` or `)`")).parse_next(input)?;
        Subject::Call(name, arguments)
    } else {
        Subject::Field(name)
    };
    let relation = opt(alt((comparison, null, has, membership))).parse_next(input)?.unwrap_or(Relation::Holds);
    Ok(Tree::Test(Test { subject, relation }))
}

fn name(input: &mut Tokens<'_>) -> Outcome<Name> {
    any.verify_map(|token: &Token| match &token.kind {
        Kind::Word(word) if !KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word)) => {
            Some(Name { text: word.clone(), at: token.at })
        }
        _ => None,
    })
    .parse_next(input)
}

fn comparison(input: &mut Tokens<'_>) -> Outcome<Relation> {
    let comparison = any
        .verify_map(|token: &Token| match token.kind {
            Kind::Symbol("=" | "==") => Some(Comparison::Equal),
            Kind::Symbol("!=" | "<>") => Some(Comparison::Unequal),
            Kind::Symbol("<") => Some(Comparison::Less),
            Kind::Symbol("<=") => Some(Comparison::AtMost),
            Kind::Symbol(">") => Some(Comparison::Greater),
            Kind::Symbol(">=") => Some(Comparison::AtLeast),
            _ => None,
        })
        .parse_next(input)?;
    Ok(Relation::Compare(comparison, value(input)?))
}

fn null(input: &mut Tokens<'_>) -> Outcome<Relation> {
    keyword("is").parse_next(input)?;
    let not = opt(keyword("not")).parse_next(input)?.is_some();
    cut_err(expect(keyword("null"), "`null` or `not null`")).parse_next(input)?;
    Ok(Relation::Null { not })
}

fn has(input: &mut Tokens<'_>) -> Outcome<Relation> {
    keyword("has").parse_next(input)?;
    if opt(symbol("(")).parse_next(input)?.is_none() {
        return Ok(Relation::Has(vec![value(input)?]));
    }
    let bits: Vec<Literal> = cut_err(expect(separated(1.., literal, symbol(",")), "a flag")).parse_next(input)?;
    cut_err(expect(symbol(")"), "`,` or `)`")).parse_next(input)?;
    Ok(Relation::Has(bits))
}

fn membership(input: &mut Tokens<'_>) -> Outcome<Relation> {
    let not = opt(keyword("not")).parse_next(input)?.is_some();
    let word = alt((
        keyword("in").value("in"),
        keyword("between").value("between"),
        keyword("like").value("like"),
        keyword("ilike").value("ilike"),
        keyword("matches").value("matches"),
    ));
    let word = if not {
        cut_err(expect(word, "`in`, `between`, `like`, `ilike` or `matches`")).parse_next(input)?
    } else {
        { word }.parse_next(input)?
    };
    Ok(match word {
        "in" => Relation::In { not, items: items(input)? },
        "between" => {
            let low = value(input)?;
            cut_err(expect(keyword("and"), "`and`, and the upper end")).parse_next(input)?;
            Relation::Between { not, low, high: value(input)? }
        }
        "matches" => Relation::Matches { not, pattern: value(input)? },
        _ => Relation::Like { not, any_case: word == "ilike", pattern: value(input)? },
    })
}

fn items(input: &mut Tokens<'_>) -> Outcome<Vec<Item>> {
    if opt(symbol("(")).parse_next(input)?.is_none() {
        return Ok(vec![item(input)?]);
    }
    let items: Vec<Item> = cut_err(separated(1.., item, symbol(","))).parse_next(input)?;
    cut_err(expect(symbol(")"), "`,`, `..` or `)`")).parse_next(input)?;
    Ok(items)
}

fn item(input: &mut Tokens<'_>) -> Outcome<Item> {
    let low = value(input)?;
    if opt(symbol("..")).parse_next(input)?.is_none() {
        return Ok(Item::One(low));
    }
    Ok(Item::Range(low, value(input)?))
}

/// A literal that must be there.
fn value(input: &mut Tokens<'_>) -> Outcome<Literal> {
    cut_err(expect(literal, "a value: a number, a size, a duration, an address, a time or a text in quotes")).parse_next(input)
}

fn literal(input: &mut Tokens<'_>) -> Outcome<Literal> {
    let token = any
        .verify(|token: &Token| match &token.kind {
            Kind::Symbol(_) | Kind::End => false,
            Kind::Word(word) => ["true", "false"].iter().any(|value| value.eq_ignore_ascii_case(word)) || !is_keyword(word),
            _ => true,
        })
        .parse_next(input)?;
    let mut at = token.at;
    let value = match &token.kind {
        Kind::Number(number) => match opt(unit).parse_next(input)? {
            Some((unit, end)) => {
                at = at.to(end);
                Value::Quantity(*number, unit)
            }
            None => Value::Number(*number),
        },
        Kind::Word(word) => Value::Word(word.clone()),
        Kind::Text(text) => Value::Text(text.clone()),
        Kind::Address(address) => Value::Address(*address),
        Kind::Prefix(address, length) => Value::Prefix(*address, *length),
        Kind::Mac(mac) => Value::Mac(*mac),
        Kind::Time(time) => Value::Time(*time),
        Kind::Symbol(_) | Kind::End => return Err(ErrMode::Backtrack(Expected::from_input(input))),
    };
    Ok(Literal { value, at })
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn unit(input: &mut Tokens<'_>) -> Outcome<(Unit, Span)> {
    any.verify_map(|token: &Token| match &token.kind {
        Kind::Word(word) => Unit::named(word).map(|unit| (unit, token.at)),
        _ => None,
    })
    .parse_next(input)
}
