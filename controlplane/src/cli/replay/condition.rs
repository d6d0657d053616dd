//! `--where`: the flows that an expression selects.

use crate::place::Tables;
use sonde_enrich::Enricher;
use sonde_expression::{Environment, Expression, Places, Warning, caret, compile};
use sonde_record::RecordView;

/// Reads the argument: what is wrong with it is named with its place, each fault above a caret.
pub(super) fn argument(text: &str) -> Result<String, String> {
    match compile(text, &Environment::default()) {
        Ok(_) => Ok(text.to_owned()),
        Err(refused) => {
            let faults = refused.faults.iter().map(|fault| format!("{fault}\n{}", caret(text, fault.position)));
            Err(faults.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// An expression, and what it looks addresses up in.
pub(super) struct Condition {
    expression: Expression,
    table: Option<Enricher>,
    left_out: u64,
}

impl Condition {
    /// Reads an expression. It has a table of its own if it looks addresses up: the output has the other one.
    ///
    /// # Errors
    /// Whatever is wrong with it, in one sentence.
    pub(super) fn new(text: &str, table: Option<&Enricher>) -> anyhow::Result<(Self, Vec<Warning>)> {
        let environment = Environment { looks_up: table.is_some(), ..Environment::default() };
        let (expression, warnings) = compile(text, &environment)?;
        let table = table.filter(|_| expression.looks_up()).cloned();
        Ok((Self { expression, table, left_out: 0 }, warnings))
    }

    /// Whether a flow is selected; if not, it is counted.
    pub(super) fn selects(&mut self, record: &RecordView<'_>) -> bool {
        let tables = self.table.as_ref().map(Tables);
        let selected = self.expression.matches_in(record, tables.as_ref().map(|tables| tables as &dyn Places));
        self.left_out += u64::from(!selected);
        selected
    }

    /// Records that were not selected since this was asked last.
    pub(super) fn left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_enrich::{Network, Sources};
    use sonde_record::{Head, Record};

    #[test]
    fn flows_that_are_not_selected_are_counted() {
        let networks = vec![Network::new("10.0.0.0/8", "office").expect("a prefix")];
        let table = Enricher::load(&Sources { networks, ..Sources::default() }).expect("nothing to read");
        let (mut condition, warnings) = Condition::new("source_network = 'office'", Some(&table)).expect("good");
        assert_eq!(warnings, []);
        let mut head = Head::default();
        head.src[12..].copy_from_slice(&[10, 0, 0, 1]);
        let mut selects = |head: Head| condition.selects(&Record::new(head).view().expect("a record"));
        assert_eq!([selects(head), selects(Head::default()), selects(Head::default())], [true, false, false]);
        assert_eq!([condition.left_out(), condition.left_out()], [2, 0]);
        let (_, warnings) = Condition::new("source_network = 'office'", None).expect("good");
        assert_eq!(warnings.len(), 1, "nothing is looked up");
    }

    #[test]
    fn every_fault_is_shown_with_its_place() {
        let faults = argument("rtt > 5 and prt = 1").expect_err("two faults");
        assert_eq!(faults.lines().filter(|line| line.trim() == "^").count(), 2, "{faults}");
        assert!(argument("rtt > 5 ms").is_ok());
    }
}
