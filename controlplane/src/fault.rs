//! Refusals as the northbound API words them: a `google.rpc.Status` with one detail for each fault.

use sonde_proto::v1::Violation;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

/// The reason of a refusal because `boot` differs: the `type` of each `PreconditionFailure` violation.
pub(crate) const RESTART_REQUIRED: &str = "RESTART_REQUIRED";

/// The reason of a refusal because nothing is looked up (`live.enrichment`).
pub(crate) const NOTHING_LOOKED_UP: &str = "NOTHING_LOOKED_UP";

/// One fault as a sentence: where, what must hold, what was found.
pub(crate) fn sentence(violation: &Violation) -> String {
    sonde_settings::Violation::from(violation.clone()).to_string()
}

/// `INVALID_ARGUMENT` with a `BadRequest` that names every violation.
pub(crate) fn invalid(violations: &[Violation]) -> Status {
    let fields: Vec<FieldViolation> =
        violations.iter().map(|v| FieldViolation::new(&v.path, format!("must be {}; found {}", v.rule, v.found))).collect();
    let count = violations.len();
    let head = if count == 1 { "one fault".to_owned() } else { format!("{count} faults") };
    let list: Vec<String> = violations.iter().map(sentence).collect();
    Status::with_error_details(Code::InvalidArgument, format!("{head}: {}", list.join("; ")), ErrorDetails::with_bad_request(fields))
}

/// `INVALID_ARGUMENT` for one field of a request.
pub(crate) fn bad_field(path: &str, rule: &str, found: impl std::fmt::Debug) -> Status {
    invalid(&[Violation { path: path.to_owned(), rule: rule.to_owned(), found: format!("{found:?}") }])
}

/// `FAILED_PRECONDITION` for a field that asks for what addresses are looked up for, where nothing is.
pub(crate) fn nothing_looked_up(path: &str, found: &str) -> Status {
    let rule = "needs sources that addresses are looked up in, and none is loaded";
    let violation = PreconditionViolation::new(NOTHING_LOOKED_UP, path, rule);
    let message = format!(
        "{path}: {found:?} {rule}. Name an AS or country database, a RIB dump or own prefixes in live.enrichment (`sonde config apply`); \
         records count from when they are loaded"
    );
    Status::with_error_details(Code::FailedPrecondition, message, ErrorDetails::with_precondition_failure([violation]))
}

/// `FAILED_PRECONDITION` with a `PreconditionFailure` of type [`RESTART_REQUIRED`] for each field of `boot` that differs.
pub(crate) fn restart_required(fields: &[String]) -> Status {
    let violations: Vec<PreconditionViolation> = fields
        .iter()
        .map(|f| PreconditionViolation::new(RESTART_REQUIRED, f, "is fixed while the dataplane runs and differs from what is in force"))
        .collect();
    let message = format!(
        "{RESTART_REQUIRED}: {} cannot change while the dataplane runs. Leave `boot` as it is, or allow the restart \
         (allow_restart_required; `sonde config apply --allow-restart`): the change is then stored and taken at the dataplane's next start",
        fields.join(", ")
    );
    Status::with_error_details(Code::FailedPrecondition, message, ErrorDetails::with_precondition_failure(violations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_is_a_detail_of_its_own() {
        let faults = [("live.a", "1 to 9", "0"), ("live.b", "a name", "\"\"")].map(|(path, rule, found)| Violation {
            path: path.into(),
            rule: rule.into(),
            found: found.into(),
        });
        let status = invalid(&faults);
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let fields = &details.bad_request().expect("BadRequest is there").field_violations;
        assert_eq!(fields.len(), 2);
        assert_eq!((fields[1].field.as_str(), fields[1].description.as_str()), ("live.b", "must be a name; found \"\""));
    }

    #[test]
    fn a_restart_is_a_precondition_by_name() {
        let status = restart_required(&["boot.cores.workers".into()]);
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_error_details();
        let violation = &details.precondition_failure().expect("PreconditionFailure is there").violations[0];
        assert_eq!((violation.r#type.as_str(), violation.subject.as_str()), (RESTART_REQUIRED, "boot.cores.workers"));
    }
}
