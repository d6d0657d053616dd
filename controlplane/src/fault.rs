//! Refusals as the northbound API words them: a `google.rpc.Status` with one detail for each fault.

use crate::count::grouped;
use sonde_proto::v1::Violation;
use sonde_settings::{EXCERPT_MAX, excerpt, quote};
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

/// Most violations of a list that an answer carries in its body.
const VIOLATIONS_MAX: usize = 1000;
/// Room of an error's message, in octets as HTTP/2 carries it. Message and details stand in the trailers, twice the message, and the
/// details in base64: together below the 8 KiB that gRPC clients take by default.
const MESSAGE_MAX: usize = 1500;
/// Room of an error's details.
const DETAILS_MAX: usize = 2200;
/// What tells the rest of a list.
const ALL_OF_THEM: &str = "`sonde config validate` (ConfigService.Validate) lists more of them";

/// Octets of a text in `grpc-message`: what is not printable ASCII is percent-encoded.
fn carried(text: &str) -> usize {
    text.bytes().map(|b| if (b' '..=b'~').contains(&b) && b != b'%' { 1 } else { 3 }).sum()
}

/// As many items as there is room for, at least one, and how many are left.
fn fitting<T>(items: Vec<T>, room: usize, size: impl Fn(&T) -> usize) -> (Vec<T>, usize) {
    let mut used = 0;
    let fits = items.iter().take_while(|item| {
        used += size(item);
        used <= room
    });
    let count = fits.count().max(1).min(items.len());
    let left = items.len() - count;
    (items.into_iter().take(count).collect(), left)
}

/// A message that has room in the trailers.
pub(crate) fn message(text: &str) -> String {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += carried(c.encode_utf8(&mut [0; 4]));
        used > MESSAGE_MAX
    });
    match end {
        Some((at, _)) => format!("{}... ({} octets)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

/// A list of names in a sentence: as many as there is room for, and how many more there are.
pub(crate) fn names<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| excerpt(name.as_ref(), EXCERPT_MAX)).collect();
    let (shown, left) = fitting(quoted, MESSAGE_MAX / 2, |name| carried(name) + 2);
    if left == 0 { shown.join(", ") } else { format!("{} and {} more", shown.join(", "), grouped(left)) }
}

/// A list of violations for the body of an answer: each of bounded length, and the last one says how many more there are.
pub(crate) fn listed(violations: Vec<sonde_settings::Violation>) -> Vec<Violation> {
    let left = violations.len().saturating_sub(VIOLATIONS_MAX);
    let mut list: Vec<Violation> = violations.into_iter().take(VIOLATIONS_MAX).map(|v| v.bounded().into()).collect();
    if left != 0 {
        let found = format!("{} more, which are not listed", grouped(left));
        list.push(Violation { path: String::new(), rule: "free of violations".to_owned(), found });
    }
    list
}

/// `INVALID_ARGUMENT` with a `BadRequest` that names every violation there is room for, and says how many more there are.
pub(crate) fn invalid(violations: &[Violation]) -> Status {
    let bounded = |v: &Violation| sonde_settings::Violation::from(v.clone()).bounded();
    let count = violations.len();
    // No more than these can have room.
    let violations: Vec<sonde_settings::Violation> = violations.iter().take(100).map(bounded).collect();
    let fields: Vec<FieldViolation> =
        violations.iter().map(|v| FieldViolation::new(&v.path, format!("must be {}; found {}", v.rule, v.found))).collect();
    let (mut fields, _) = fitting(fields, DETAILS_MAX, |f| f.field.len() + f.description.len() + 8);
    let left = count - fields.len();
    if left != 0 {
        fields.push(FieldViolation::new("", format!("and {} more; {ALL_OF_THEM}", grouped(left))));
    }
    let (list, _) = fitting(violations.iter().map(ToString::to_string).collect::<Vec<String>>(), MESSAGE_MAX - 200, |s| carried(s) + 2);
    let head = if count == 1 { "one fault".to_owned() } else { format!("{} faults", grouped(count)) };
    let more = match count - list.len() {
        0 => String::new(),
        left => format!("; and {} more: {ALL_OF_THEM}", grouped(left)),
    };
    let said = message(&format!("{head}: {}{more}", list.join("; ")));
    Status::with_error_details(Code::InvalidArgument, said, ErrorDetails::with_bad_request(fields))
}

/// `INVALID_ARGUMENT` for one field of a request.
pub(crate) fn bad_field(path: &str, rule: &str, found: impl std::fmt::Debug) -> Status {
    invalid(&[Violation { path: path.to_owned(), rule: rule.to_owned(), found: format!("{found:?}") }])
}

/// The same for a field that holds text.
pub(crate) fn bad_text(path: &str, rule: &str, found: &str) -> Status {
    invalid(&[Violation { path: path.to_owned(), rule: rule.to_owned(), found: quote(found) }])
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
    let (shown, left) = fitting(fields.iter().collect(), DETAILS_MAX, |f| f.len() + 80);
    let mut violations: Vec<PreconditionViolation> = shown
        .into_iter()
        .map(|f| PreconditionViolation::new(RESTART_REQUIRED, f, "is fixed while the dataplane runs and differs from what is in force"))
        .collect();
    if left != 0 {
        violations.push(PreconditionViolation::new(RESTART_REQUIRED, "", format!("and {} more", grouped(left))));
    }
    let message = format!(
        "{RESTART_REQUIRED}: {} cannot change while the dataplane runs. Leave `boot` as it is, or allow the restart \
         (allow_restart_required; `sonde config apply --allow-restart`): the change is then stored and taken at the dataplane's next start",
        names(fields)
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

    /// Octets of an error in HTTP/2: names and values, and 32 for each header (RFC 9113 section 6.5.2).
    fn carried_octets(status: Status) -> usize {
        let response = status.into_http::<()>();
        response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
    }

    #[test]
    fn whatever_is_wrong_an_error_has_room_in_the_trailers() {
        for text in ["x".repeat(1 << 20), "é%\n".repeat(1 << 18), "🦀".repeat(1 << 18)] {
            let fault = Violation { path: text.clone(), rule: "r".repeat(2000), found: text.clone() };
            for faults in [1, 2, 20] {
                let status = invalid(&vec![fault.clone(); faults]);
                assert!(status.message().contains("octets)"), "{}", status.message());
                assert!(carried_octets(status) < 8000);
            }
            let fields = vec![excerpt(&text, 200); 4321];
            assert!(carried_octets(restart_required(&fields)) < 8000);
            assert!(carried_octets(bad_text("name", "a name", &text)) < 8000);
            assert!(carried(&message(&text)) < MESSAGE_MAX + 30);
        }
    }

    #[test]
    fn a_long_list_says_how_many_more_there_are() {
        let fault = |n: usize| Violation { path: format!("live.exporters[{n}].name"), rule: "a name".into(), found: "\"\"".into() };
        let faults: Vec<_> = (0..5000).map(fault).collect();
        let status = invalid(&faults);
        assert!(status.message().starts_with("5,000 faults: live.exporters[0].name: "), "{}", status.message());
        assert!(status.message().contains(" more: `sonde config validate`"), "{}", status.message());
        let details = status.get_error_details();
        let fields = &details.bad_request().expect("BadRequest").field_violations;
        let last = &fields[fields.len() - 1].description;
        assert!(last.starts_with(&format!("and {} more", grouped(5001 - fields.len()))), "{last}");
        assert!(carried_octets(status) < 8000);
        let list = listed(faults.into_iter().map(sonde_settings::Violation::from).collect());
        assert_eq!((list.len(), list[1000].found.as_str()), (1001, "4,000 more, which are not listed"));
        assert_eq!(names(&["a", "b"]), "a, b");
        assert!(names(&vec!["exporters/x"; 5000]).ends_with(" more"));
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
