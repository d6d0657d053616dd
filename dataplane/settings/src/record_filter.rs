//! Which records an exporter sends: an expression of the settings.

use sonde_expression::{Environment, Expression, compile};

/// An expression that was checked; the empty one selects every record. Two of the same text are equal.
#[derive(Clone, Debug, Default)]
pub struct RecordFilter {
    text: String,
    expression: Option<Expression>,
}

impl PartialEq for RecordFilter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RecordFilter {}

impl RecordFilter {
    /// Reads a text. What is wrong is a list of rules and what was found instead of each.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<(String, String)>> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let environment = Environment { looks_up: true, ..Environment::default() };
        let (expression, _) = compile(text, &environment).map_err(|refused| {
            refused.faults.iter().map(|fault| (format!("{}, at {}", fault.expected, fault.position), fault.found())).collect::<Vec<_>>()
        })?;
        let looked_up: Vec<&str> =
            expression.fields().iter().map(String::as_str).filter(|name| sonde_expression::is_looked_up(name)).collect();
        if !looked_up.is_empty() {
            let rule = "an expression over fields of the record: what is looked up of addresses is not known where records are chosen";
            return Err(vec![(rule.to_owned(), looked_up.join(", "))]);
        }
        Ok(Self { text: text.to_owned(), expression: Some(expression) })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The expression; `None`: every record.
    pub fn expression(&self) -> Option<&Expression> {
        self.expression.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_an_expression_over_fields_of_the_record() {
        assert_eq!(RecordFilter::parse("  "), Ok(RecordFilter::default()));
        let good = RecordFilter::parse("protocol = tcp").expect("good");
        assert!(good.expression().is_some() && good.text() == "protocol = tcp");
        assert_ne!(good, RecordFilter::default());
        let faults = RecordFilter::parse("rtt > 5 or\nprt = 1").expect_err("two faults");
        assert_eq!(faults.len(), 2);
        assert!(faults[0].0.ends_with("at line 1, column 7") && faults[1].0.ends_with("at line 2, column 1"), "{faults:?}");
        let looked_up = RecordFilter::parse("country = 'CZ' and port = 1").expect_err("not of the record");
        assert_eq!(looked_up[0].1, "country");
    }
}
