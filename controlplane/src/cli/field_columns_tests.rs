use super::*;
use crate::cli::replay::chosen;
use crate::flow::catalogue_tests::records;
use crate::flow::flow;
use sonde_record::catalogue::fields;
use sonde_record::field::Origin;

#[test]
fn a_flow_of_the_api_says_what_its_record_says() {
    let (mut compared, mut different) = (0, Vec::new());
    for record in records() {
        let view = record.view().expect("a record");
        let flow = flow(&view);
        let json = serde_json::from_str(&serde_json::to_string(&flow).expect("JSON")).expect("JSON");
        for field in fields().filter(|field| matches!(field.row.origin, Origin::Record(_))) {
            let name = field.name();
            let shown = cell(&field, &flow, &json);
            let expected = chosen::text(&field, &field.read(&view));
            if shown != expected {
                different.push(format!("{name}: {shown:?} {expected:?}"));
            }
            compared += usize::from(!expected.is_empty());
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(compared > 140, "{compared}");
}

#[test]
fn names_that_no_field_has_are_refused_together_with_the_nearest() {
    let error = Fields::named(["octets", "destnation_port", "colour_of_the_cable"]).expect_err("two are wrong").to_string();
    assert!(error.contains("destnation_port (did you mean destination_port?), colour_of_the_cable;"), "{error}");
}
