//! An expression that is ready to be asked: its conditions in order, and which one is next when one holds or does not.

use std::net::IpAddr;
use std::sync::Arc;

use sonde_record::RecordView;
use sonde_record::field::{Lookup, ReadNumber, Value};

use crate::name::{Part, Source};
use crate::rule::{Check, Rule, Seen, number};

/// Where addresses are looked up, for fields as `source_country`.
pub trait Places {
    /// What is known of an address; [`Value::Absent`] where nothing is.
    fn find(&self, address: IpAddr, what: Lookup) -> Value;
}

/// One condition.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) source: Source,
    pub(crate) check: Check,
}

/// How conditions are joined; the numbers are those of conditions.
#[derive(Clone, Debug)]
pub(crate) enum Join {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Test(usize),
}

/// What is asked in a step.
#[derive(Clone, Debug)]
enum Question {
    /// Whether a number of the head is between two, both included, or is there and is not: what most conditions are. All in registers.
    Number { read: ReadNumber, way: usize, low: u64, high: u64, not: bool },
    /// Any other condition.
    Condition(Condition),
}

/// A question, and where to go on: always further behind, so every program ends.
#[derive(Clone, Debug)]
struct Step {
    question: Question,
    holds: u32,
    fails: u32,
}

/// The record matches.
const MATCH: u32 = u32::MAX;
/// The record does not match.
const MISS: u32 = u32::MAX - 1;

/// An expression that was read and checked. Clones share it.
#[derive(Clone, Debug)]
pub struct Expression {
    steps: Arc<[Step]>,
    fields: Arc<[String]>,
    looks_up: bool,
}

impl Expression {
    /// Joins conditions.
    pub(crate) fn new(conditions: &[Condition], join: &Join, fields: Vec<String>) -> Self {
        let mut steps = Vec::new();
        // From the end: what comes next is there already. Numbers count from the end, too, until all are known.
        join.emit(conditions, &mut steps, MATCH, MISS);
        let last = u32::try_from(steps.len()).unwrap_or(MISS).saturating_sub(1);
        let turned = |target: u32| if target >= MISS { target } else { last.saturating_sub(target) };
        let steps =
            steps.into_iter().rev().map(|Step { question, holds, fails }| Step { question, holds: turned(holds), fails: turned(fails) });
        let looks_up = conditions.iter().any(|condition| condition.source.is_looked_up());
        Self { steps: steps.collect(), fields: fields.into(), looks_up }
    }

    /// The fields that it reads: canonical names, and those of two fields ([`combined`](crate::combined)).
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Whether it has a field that is looked up of an address.
    pub fn looks_up(&self) -> bool {
        self.looks_up
    }

    /// Whether a record matches. What is looked up of addresses counts as not measured.
    #[inline]
    pub fn matches(&self, record: &RecordView<'_>) -> bool {
        self.matches_in(record, None)
    }

    /// Whether a record matches; addresses are looked up in `places`.
    ///
    /// 3 ns a comparison of a number of the head, 12 of an address: bench `evaluate`.
    #[inline]
    pub fn matches_in(&self, record: &RecordView<'_>, places: Option<&dyn Places>) -> bool {
        let mut at = 0;
        while let Some(step) = usize::try_from(at).ok().and_then(|at| self.steps.get(at)) {
            at = if step.question.holds(record, places) { step.holds } else { step.fails };
        }
        at == MATCH
    }
}

impl Join {
    /// Puts the steps in front of those that are there, and says which one is the first.
    fn emit(&self, conditions: &[Condition], steps: &mut Vec<Step>, holds: u32, fails: u32) -> u32 {
        match self {
            Self::Not(inner) => inner.emit(conditions, steps, fails, holds),
            Self::And(parts) => parts.iter().rev().fold(holds, |next, part| part.emit(conditions, steps, next, fails)),
            Self::Or(parts) => parts.iter().rev().fold(fails, |next, part| part.emit(conditions, steps, holds, next)),
            Self::Test(number) => {
                let Some(condition) = conditions.get(*number) else { return fails };
                steps.push(Step { question: Question::of(condition), holds, fails });
                u32::try_from(steps.len()).unwrap_or(MISS).saturating_sub(1)
            }
        }
    }
}

impl Question {
    fn of(condition: &Condition) -> Self {
        match (condition.source, &condition.check) {
            (Source::One(Part::Number(read, way)), Check { rule: Rule::Range((low, high)), not }) => {
                Self::Number { read, way, low: *low, high: *high, not: *not }
            }
            _ => Self::Condition(condition.clone()),
        }
    }

    #[inline]
    fn holds(&self, record: &RecordView<'_>, places: Option<&dyn Places>) -> bool {
        match self {
            Self::Number { read, way, low, high, not } => read(record, *way).is_some_and(|n| (*low <= n && n <= *high) != *not),
            Self::Condition(condition) => condition.holds(record, places),
        }
    }
}

impl Condition {
    #[inline]
    fn holds(&self, record: &RecordView<'_>, places: Option<&dyn Places>) -> bool {
        let seen = match &self.source {
            Source::One(Part::Value(read, way)) => self.check.look(&read(record, *way)),
            source => self.look(source, record, places),
        };
        self.check.outcome(seen)
    }

    #[inline(never)]
    fn look(&self, source: &Source, record: &RecordView<'_>, places: Option<&dyn Places>) -> Seen {
        let value = |part: &Part| part.value(record, places);
        match source {
            Source::One(part) => self.check.look(&value(part)),
            Source::Either([a, b]) => self.check.look(&value(a)).and(self.check.look(&value(b))),
            Source::Ports(_) if !sonde_packet::has_ports(record.proto()) => Seen::default(),
            Source::Ports([a, b]) => self.check.look(&value(a)).and(self.check.look(&value(b))),
            Source::Sum([a, b]) => self.check.look(&joined(&value(a), &value(b), u64::saturating_add)),
            Source::Union([a, b]) => self.check.look(&joined(&value(a), &value(b), |a, b| a | b)),
            Source::Nothing => Seen::default(),
        }
    }
}

/// Two numbers together; one that was not measured adds nothing.
fn joined(a: &Value, b: &Value, join: fn(u64, u64) -> u64) -> Value {
    match (number(a), number(b)) {
        (None, None) => Value::Absent,
        (a, b) => Value::Unsigned(join(a.unwrap_or(0), b.unwrap_or(0))),
    }
}

impl Part {
    fn value(&self, record: &RecordView<'_>, places: Option<&dyn Places>) -> Value {
        match self {
            Self::Number(read, way) => read(record, *way).map_or(Value::Absent, Value::Unsigned),
            Self::Value(read, way) => read(record, *way),
            Self::Lookup(address, what) => match (address(record, 0), places) {
                (Value::Address(address), Some(places)) => places.find(address, *what),
                _ => Value::Absent,
            },
        }
    }
}
