//! Names and types: a tree becomes an expression, or a list of what is wrong with it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use regex::RegexBuilder;
use sonde_record::field::{Type, Unit};

use crate::fault::{Fault, Position, Refused, Span, Warning};
use crate::limits::{PATTERN_LENGTH_MAX, PATTERN_MEMORY_MAX, PATTERNS_MAX, TESTS_MAX};
use crate::name::{Named, Source, nearest, resolve};
use crate::program::{Condition, Expression, Join};
use crate::rule::{Check, Floats, Rule};
use crate::token::{Kind, tokens};
use crate::tree::{Comparison, Item, Literal, Name, Relation, Subject, Test, Tree, Value};
use crate::values::{AddressList, compared, compared_float, expected, float, number, ordered};

/// What an expression may refer to, given by the program that reads it.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Prefixes for `is_internal`: first address and length. The default are those of RFC 1918 and RFC 4193, loopback and link-local.
    pub internal: Vec<(IpAddr, u8)>,
    /// Named lists for `in_list`; each item is written as a value of the field that it is compared with.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Whether addresses are looked up: without, fields as `source_country` are a warning.
    pub looks_up: bool,
}

impl Default for Environment {
    fn default() -> Self {
        let prefix = |octets: [u8; 4], length| (octets.into(), length);
        let wide = |first: u16, length| (IpAddr::from([first, 0, 0, 0, 0, 0, 0, 0]), length);
        Self {
            internal: vec![
                prefix([10, 0, 0, 0], 8),
                prefix([172, 16, 0, 0], 12),
                prefix([192, 168, 0, 0], 16),
                prefix([127, 0, 0, 0], 8),
                prefix([169, 254, 0, 0], 16),
                wide(0xfc00, 7),
                wide(0xfe80, 10),
                (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 128),
            ],
            lists: BTreeMap::new(),
            looks_up: false,
        }
    }
}

pub(crate) fn compile(text: &str, tree: &Tree, environment: &Environment) -> Result<(Expression, Vec<Warning>), Refused> {
    let mut typing = Typing {
        text,
        environment,
        conditions: Vec::new(),
        fields: Vec::new(),
        faults: Vec::new(),
        warnings: Vec::new(),
        tests: 0,
        patterns: 0,
    };
    let join = typing.tree(tree);
    match (join, typing.faults.is_empty()) {
        (Some(join), true) => Ok((Expression::new(&typing.conditions, &join, typing.fields), typing.warnings)),
        _ => Err(Refused { faults: typing.faults }),
    }
}

struct Typing<'a> {
    text: &'a str,
    environment: &'a Environment,
    conditions: Vec<Condition>,
    fields: Vec<String>,
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
    tests: usize,
    patterns: usize,
}

/// The functions, and what they take.
const FUNCTIONS: [(&str, &str); 6] = [
    ("re_match", "re_match(FIELD, 'regular expression')"),
    ("tools.re_match", "Tools.re_match('regular expression', 'FIELD')"),
    ("starts_with", "starts_with(FIELD, 'text')"),
    ("is_internal", "is_internal(FIELD)"),
    ("entropy", "entropy(FIELD)"),
    ("in_list", "in_list(FIELD, 'name of a list')"),
];

/// Bits of the TCP header (RFC 9293 section 3.1, RFC 9768).
const FLAGS: [(&str, u64); 9] =
    [("FIN", 1), ("SYN", 2), ("RST", 4), ("PSH", 8), ("ACK", 16), ("URG", 32), ("ECE", 64), ("CWR", 128), ("AE", 256)];

impl Typing<'_> {
    fn fault(&mut self, at: Span, expected: impl Into<String>) {
        let fault = Fault::new(self.text, at, expected);
        self.faults.push(fault);
    }

    fn warn(&mut self, at: Span, message: String) {
        let position = Position::of(self.text, at.start);
        self.warnings.push(Warning { at, position, message });
    }

    fn tree(&mut self, tree: &Tree) -> Option<Join> {
        // All parts are looked at, so that every fault is named.
        match tree {
            Tree::And(parts) => self.trees(parts).map(Join::And),
            Tree::Or(parts) => self.trees(parts).map(Join::Or),
            Tree::Not(inner) => self.tree(inner).map(|inner| Join::Not(Box::new(inner))),
            Tree::Test(test) => self.test(test),
        }
    }

    fn trees(&mut self, parts: &[Tree]) -> Option<Vec<Join>> {
        let parts: Vec<Option<Join>> = parts.iter().map(|part| self.tree(part)).collect();
        parts.into_iter().collect()
    }

    fn test(&mut self, test: &Test) -> Option<Join> {
        self.tests = self.tests.saturating_add(1);
        if self.tests > TESTS_MAX {
            if self.tests == TESTS_MAX.saturating_add(1) {
                let (Subject::Field(name) | Subject::Call(name, _)) = &test.subject;
                self.fault(name.at, format!("at most {TESTS_MAX} conditions"));
            }
            return None;
        }
        let (source, check) = match &test.subject {
            Subject::Field(name) => {
                let field = self.field(&name.text, name.at)?;
                let check = self.relation(&field, name.at, &test.relation)?;
                (field.source, check)
            }
            Subject::Call(name, arguments) => self.call(name, arguments, &test.relation)?,
        };
        self.conditions.push(Condition { source, check });
        Some(Join::Test(self.conditions.len().saturating_sub(1)))
    }

    /// The field of a name; of one that can have no value here a warning is kept.
    fn field(&mut self, name: &str, at: Span) -> Option<Named> {
        let Some(field) = resolve(name) else {
            let mut fault = Fault::new(self.text, at, "a field of a flow record (`sonde fields` lists them)");
            fault.nearest = nearest(name);
            self.faults.push(fault);
            return None;
        };
        if matches!(field.source, Source::Nothing) {
            self.warn(at, format!("{} has no source in this version: it is never measured, and no condition on it holds", field.name));
        } else if field.source.is_looked_up() && !self.environment.looks_up {
            self.warn(at, format!("{} is looked up, and nothing is looked up here: no condition on it holds", field.name));
        }
        if !self.fields.contains(&field.name) {
            self.fields.push(field.name.clone());
        }
        Some(field)
    }

    fn relation(&mut self, field: &Named, at: Span, relation: &Relation) -> Option<Check> {
        let check = |rule, not| Some(Check { rule, not });
        match relation {
            Relation::Null { not } => check(Rule::Null, *not),
            Relation::Holds if field.kind == Type::Boolean => check(Rule::Range((1, 1)), false),
            Relation::Holds => {
                let what = format!(
                    "a comparison of {}, for instance `{} is not null`: it is {}, not true or false",
                    field.name,
                    field.name,
                    kind_of(field)
                );
                self.fault(at, what);
                None
            }
            Relation::Compare(comparison, literal) => check(self.compare(field, *comparison, literal)?, *comparison == Comparison::Unequal),
            Relation::In { not, items } => check(self.items(field, items)?, *not),
            Relation::Between { not, low, high } => {
                let range = Item::Range(low.clone(), high.clone());
                check(self.items(field, std::slice::from_ref(&range))?, *not)
            }
            Relation::Like { not, any_case, pattern } => {
                let text = self.pattern_of(field, pattern)?;
                check(self.pattern(&like(&text), pattern.at, *any_case)?, *not)
            }
            Relation::Matches { not, pattern } => {
                let text = self.pattern_of(field, pattern)?;
                check(self.pattern(&text, pattern.at, false)?, *not)
            }
            Relation::Has(bits) => check(Rule::Bits(self.bits(field, bits)?), false),
        }
    }

    fn wrong(&mut self, field: &Named, literal: &Literal) {
        let mut fault = Fault::new(self.text, literal.at, expected(field));
        if let Value::Word(word) = &literal.value
            && resolve(word).is_some()
        {
            fault.expected.push_str(": two fields are not compared with each other");
        } else if let (Value::Word(word), Type::Text) = (&literal.value, field.kind) {
            fault.expected = format!("{}: '{word}'", fault.expected);
        }
        self.faults.push(fault);
    }

    /// The rule of one comparison; `!=` is that of `=`, turned round by who asks.
    fn compare(&mut self, field: &Named, comparison: Comparison, literal: &Literal) -> Option<Rule> {
        let equal = matches!(comparison, Comparison::Equal | Comparison::Unequal);
        match field.kind {
            Type::Float => {
                let Some(number) = float(literal) else {
                    self.wrong(field, literal);
                    return None;
                };
                Some(Rule::Floats([compared_float(comparison, number)].into()))
            }
            Type::Address | Type::Text if equal => self.items(field, &[Item::One(literal.clone())]),
            Type::Address | Type::Text => {
                let what = format!("`=`, `!=` or `in` and {}: {} has no order", expected(field), field.name);
                self.fault(literal.at, what);
                None
            }
            _ => match number(field, literal) {
                // An empty range: no number is below 0.
                Some(number) => Some(Rule::Range(compared(comparison, number).unwrap_or((1, 0)))),
                None => {
                    self.wrong(field, literal);
                    None
                }
            },
        }
    }

    /// The rule of a list.
    fn items(&mut self, field: &Named, items: &[Item]) -> Option<Rule> {
        let faults = self.faults.len();
        let rule = match field.kind {
            Type::Address => self.addresses(field, items),
            Type::Text => self.texts(field, items),
            Type::Float => {
                let ranges = self.ranges(field, items, |_, literal| float(literal), |a, b| a.partial_cmp(b));
                Rule::Floats(ranges.into_iter().map(|(low, high)| Floats { low, high, open: false }).collect())
            }
            _ => {
                let ranges = self.ranges(field, items, number, |a, b| Some(a.cmp(b)));
                let ranges = ordered(ranges, |n: u64| n.checked_add(1));
                match *ranges {
                    [range] => Rule::Range(range),
                    _ => Rule::Ranges(ranges),
                }
            }
        };
        (self.faults.len() == faults).then_some(rule)
    }

    fn ranges<T: Copy>(
        &mut self,
        field: &Named,
        items: &[Item],
        read: fn(&Named, &Literal) -> Option<T>,
        order: fn(&T, &T) -> Option<std::cmp::Ordering>,
    ) -> Vec<(T, T)> {
        let mut ranges = Vec::with_capacity(items.len());
        for item in items {
            let (low, high) = ends(item);
            match (read(field, low), read(field, high)) {
                (Some(a), Some(b)) if order(&a, &b).is_some_and(std::cmp::Ordering::is_gt) => self.backwards(low, high),
                (Some(a), Some(b)) => ranges.push((a, b)),
                (None, Some(_)) => self.wrong(field, low),
                (Some(_), None) => self.wrong(field, high),
                (None, None) => {
                    self.wrong(field, low);
                    if low != high {
                        self.wrong(field, high);
                    }
                }
            }
        }
        ranges
    }

    fn backwards(&mut self, low: &Literal, high: &Literal) {
        self.fault(low.at.to(high.at), "a range from the lower end to the upper one");
    }

    fn addresses(&mut self, field: &Named, items: &[Item]) -> Rule {
        let mut list = AddressList::default();
        for item in items {
            let added = match item {
                Item::One(literal) => list.add(literal),
                Item::Range(Literal { value: Value::Address(low), .. }, Literal { value: Value::Address(high), .. }) => {
                    list.add_range(*low, *high)
                }
                Item::Range(..) => false,
            };
            match (added, item) {
                (true, _) => {}
                (false, Item::One(literal)) => self.wrong(field, literal),
                (false, Item::Range(low, high)) => {
                    self.fault(low.at.to(high.at), "two addresses of one family, the lower one first");
                }
            }
        }
        Rule::Addresses(list.ordered())
    }

    fn texts(&mut self, field: &Named, items: &[Item]) -> Rule {
        let mut texts: Vec<Box<str>> = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::One(Literal { value: Value::Text(text), .. }) => texts.push(text.as_str().into()),
                Item::One(literal) => self.wrong(field, literal),
                Item::Range(low, high) => self.fault(low.at.to(high.at), "single texts: they have no ranges"),
            }
        }
        texts.sort_unstable();
        texts.dedup();
        Rule::Texts(texts.into())
    }

    fn bits(&mut self, field: &Named, bits: &[Literal]) -> Option<u64> {
        if field.kind != Type::Unsigned {
            let (first, last) = (bits.first()?, bits.last()?);
            self.fault(first.at.to(last.at), format!("a field of bits before `has`: {} is {}", field.name, kind_of(field)));
            return None;
        }
        let names = FLAGS.map(|(name, _)| name).join(", ");
        let what = if field.is_flags() { format!("one of {names}, or a number as 0x12") } else { "a whole number, as 0x40".to_owned() };
        let mut all = Some(0);
        for literal in bits {
            let flag =
                |name: &str| FLAGS.iter().find(|(known, _)| field.is_flags() && known.eq_ignore_ascii_case(name)).map(|(_, bit)| *bit);
            let bit = match &literal.value {
                Value::Word(name) => flag(name),
                Value::Number(number) => number.whole(),
                _ => None,
            };
            if bit.is_none() {
                self.fault(literal.at, what.clone());
            }
            all = all.zip(bit).map(|(all, bit)| all | bit);
        }
        all
    }

    fn pattern_of(&mut self, field: &Named, pattern: &Literal) -> Option<String> {
        if field.kind != Type::Text {
            self.fault(pattern.at, format!("a field of text before the pattern: {} is {}", field.name, kind_of(field)));
            return None;
        }
        self.text_of(pattern, "a pattern in quotes")
    }

    fn text_of(&mut self, literal: &Literal, what: &str) -> Option<String> {
        if let Value::Text(text) = &literal.value {
            return Some(text.clone());
        }
        self.fault(literal.at, what);
        None
    }

    fn pattern(&mut self, pattern: &str, at: Span, any_case: bool) -> Option<Rule> {
        self.patterns = self.patterns.saturating_add(1);
        if self.patterns > PATTERNS_MAX {
            if self.patterns == PATTERNS_MAX.saturating_add(1) {
                self.fault(at, format!("at most {PATTERNS_MAX} patterns in one expression"));
            }
            return None;
        }
        if pattern.len() > PATTERN_LENGTH_MAX {
            self.fault(at, format!("a pattern of at most {PATTERN_LENGTH_MAX} octets"));
            return None;
        }
        let mut builder = RegexBuilder::new(pattern);
        builder.case_insensitive(any_case).size_limit(PATTERN_MEMORY_MAX).dfa_size_limit(PATTERN_MEMORY_MAX).nest_limit(50);
        match builder.build() {
            Ok(regex) => Some(Rule::Pattern(regex)),
            Err(regex::Error::CompiledTooBig(most)) => {
                self.fault(at, format!("a regular expression that needs at most {most} octets of memory"));
                None
            }
            Err(error) => {
                // The last line says what is wrong, those above show where.
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.fault(at, format!("a regular expression, without look-around and back-references ({why})"));
                None
            }
        }
    }

    fn call(&mut self, name: &Name, arguments: &[Literal], relation: &Relation) -> Option<(Source, Check)> {
        let function = name.text.to_ascii_lowercase();
        let Some((_, usage)) = FUNCTIONS.iter().find(|(known, _)| *known == function) else {
            let names = FUNCTIONS.map(|(name, _)| name).join(", ");
            self.fault(name.at, format!("a function: {names}"));
            return None;
        };
        let at = arguments.last().map_or(name.at, |last| name.at.to(last.at));
        let (of, value) = match (function.as_str(), arguments) {
            ("entropy" | "is_internal", [of]) => (of, None),
            ("starts_with" | "in_list", [of, value]) => (of, Some(value)),
            // Flowmon's order is pattern and field, each in quotes.
            ("re_match" | "tools.re_match", [first, second]) => {
                if matches!(first.value, Value::Word(_)) {
                    (first, Some(second))
                } else {
                    (second, Some(first))
                }
            }
            _ => {
                self.fault(at, *usage);
                return None;
            }
        };
        let (Value::Word(of_name) | Value::Text(of_name)) = &of.value else {
            self.fault(of.at, format!("a field: {usage}"));
            return None;
        };
        let field = self.field(of_name, of.at)?;
        let wanted = if function == "is_internal" { Type::Address } else { Type::Text };
        if function != "in_list" && field.kind != wanted {
            let nearest = if wanted == Type::Text { "a field of text" } else { "a field of addresses" };
            self.fault(of.at, format!("{nearest} for {function}: {} is {}", field.name, kind_of(&field)));
            return None;
        }
        if function == "entropy" {
            return Some((field.source, self.entropy(name.at, relation)?));
        }
        let rule = match (function.as_str(), value) {
            ("starts_with", Some(value)) => Rule::Starts(self.text_of(value, usage)?.into()),
            ("in_list", Some(value)) => self.named_list(&field, value)?,
            (_, Some(value)) => {
                let pattern = self.text_of(value, usage)?;
                self.pattern(&pattern, value.at, false)?
            }
            (_, None) => {
                let mut list = AddressList::default();
                self.environment.internal.iter().for_each(|(first, length)| _ = list.add_prefix(*first, *length));
                Rule::Addresses(list.ordered())
            }
        };
        let truth = self.truth(name.at, relation)?;
        Some((field.source, Check { rule, not: !truth }))
    }

    /// What the outcome of a function is compared with: nothing, 1, 0, true or false.
    fn truth(&mut self, at: Span, relation: &Relation) -> Option<bool> {
        let boolean = Named { name: "a function".to_owned(), kind: Type::Boolean, unit: Unit::None, source: Source::Nothing };
        match relation {
            Relation::Holds => Some(true),
            Relation::Compare(comparison @ (Comparison::Equal | Comparison::Unequal), literal) => match number(&boolean, literal) {
                Some(truth) => Some((truth == 1) == (*comparison == Comparison::Equal)),
                None => {
                    self.fault(literal.at, "1, 0, true or false");
                    None
                }
            },
            _ => {
                self.fault(at, "nothing behind this function, or a comparison with 1 or 0");
                None
            }
        }
    }

    fn entropy(&mut self, at: Span, relation: &Relation) -> Option<Check> {
        let float = Named { name: "entropy".to_owned(), kind: Type::Float, unit: Unit::None, source: Source::Nothing };
        let what = "a comparison of the entropy with bits an octet, as `entropy(http_url) > 4.5`";
        let check = match relation {
            Relation::Compare(..) | Relation::In { .. } | Relation::Between { .. } => self.relation(&float, at, relation)?,
            _ => {
                self.fault(at, what);
                return None;
            }
        };
        match check.rule {
            Rule::Floats(ranges) => Some(Check { rule: Rule::Entropy(ranges), not: check.not }),
            _ => None,
        }
    }

    /// The rule of a list that the embedding program has given.
    fn named_list(&mut self, field: &Named, name: &Literal) -> Option<Rule> {
        let list = self.text_of(name, "the name of a list in quotes")?;
        let environment = self.environment;
        let Some(items) = environment.lists.get(&list) else {
            let known: Vec<&str> = environment.lists.keys().map(String::as_str).collect();
            let what = match known.as_slice() {
                [] => "no in_list: there are no named lists here; write `in (...)`".to_owned(),
                known => format!("the name of a list: {}", known.join(", ")),
            };
            self.fault(name.at, what);
            return None;
        };
        let read: Vec<Item> = items.iter().filter_map(|item| item_of(field, item, name.at)).collect();
        let faults = self.faults.len();
        let rule = (read.len() == items.len()).then(|| self.items(field, &read)).flatten();
        if rule.is_none() {
            self.faults.truncate(faults);
            self.fault(name.at, format!("a list whose items are each {}", expected(field)));
        }
        rule
    }
}

/// An item of a named list.
fn item_of(field: &Named, item: &str, at: Span) -> Option<Item> {
    if field.kind == Type::Text {
        return Some(Item::One(Literal { value: Value::Text(item.to_owned()), at }));
    }
    let value = match tokens(item).ok()?.as_slice() {
        [one, end] if end.kind == Kind::End => match &one.kind {
            Kind::Number(number) => Value::Number(*number),
            Kind::Word(word) => Value::Word(word.clone()),
            Kind::Text(text) => Value::Text(text.clone()),
            Kind::Address(address) => Value::Address(*address),
            Kind::Prefix(address, length) => Value::Prefix(*address, *length),
            Kind::Mac(mac) => Value::Mac(*mac),
            Kind::Time(time) => Value::Time(*time),
            Kind::Symbol(_) | Kind::End => return None,
        },
        _ => return None,
    };
    Some(Item::One(Literal { value, at }))
}

fn ends(item: &Item) -> (&Literal, &Literal) {
    match item {
        Item::One(literal) => (literal, literal),
        Item::Range(low, high) => (low, high),
    }
}

fn kind_of(field: &Named) -> String {
    match field.kind {
        Type::Unsigned => "a whole number".to_owned(),
        Type::Address => "an address".to_owned(),
        kind => format!("a {}", kind.name()),
    }
}

/// The regular expression of a pattern of SQL: `%` is any characters, `_` is one, and a backslash before them takes them as they are.
fn like(pattern: &str) -> String {
    let mut regex = "(?s)^".to_owned();
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' if characters.peek().is_some_and(|next| "%_\\".contains(*next)) => {
                let next = characters.next().unwrap_or(c);
                regex.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            }
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex + "$"
}
