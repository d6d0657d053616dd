//! Expressions on flow records.

use sonde_expression::{DEPTH_MAX, Environment, LENGTH_MAX, caret, compile, normalise};
use sonde_record::{Head, Kind, Record};

/// A text.
///
/// It is refused with places that are in it, or it is good: then it can be asked, printed, and read again, and says the same.
pub fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = Environment { lists: [("web".to_owned(), vec!["80".to_owned(), "443".to_owned()])].into(), ..Environment::default() };
    let (expression, warnings) = match compile(text, &environment) {
        Ok(compiled) => compiled,
        Err(refused) => {
            assert!(!refused.faults.is_empty(), "refused without a reason");
            for fault in &refused.faults {
                assert!(!fault.expected.is_empty() && fault.at.start <= fault.at.end, "{fault:?}");
                assert!(fault.at.end <= text.len().max(LENGTH_MAX), "{fault:?}");
                assert!(caret(text, fault.position).ends_with('^'));
            }
            return;
        }
    };
    assert!(warnings.iter().all(|warning| warning.at.end <= text.len()));
    let printed = normalise(text).expect("it was good");
    // It may be longer, and a list that was written without parentheses has some: that alone may be refused.
    if printed.len() > LENGTH_MAX || text.matches('(').count() >= DEPTH_MAX {
        return;
    }
    assert_eq!(normalise(&printed).as_ref(), Ok(&printed), "{text}");
    let (again, _) = compile(&printed, &environment).unwrap_or_else(|refused| panic!("{text}\n{printed}\n{refused}"));
    for head in heads() {
        let record = Record::new(head);
        let view = record.view().expect("a record");
        assert_eq!(expression.matches(&view), again.matches(&view), "{text}\n{printed}");
    }
}

/// Flows of every kind.
fn heads() -> [Head; 3] {
    let mut four =
        Head { proto: 6, sport: 40_000, dport: 443, octets: [1500, 90_000], packets: [9, 70], tcp_flags: [2, 18], ..Head::default() };
    four.src[12..].copy_from_slice(&[10, 1, 2, 3]);
    let six =
        Head { kind: Kind::Ipv6, proto: 17, sport: 53, dport: 53, src: [0x20; 16], dst: [0xfe; 16], packets: [1, 0], ..Head::default() };
    [four, six, Head { kind: Kind::Layer2, ethertype: 0x0806, smac: [2; 6], ..Head::default() }]
}
