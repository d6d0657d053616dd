//! The catalogue of fields: everything that a record says, once. The reference page, columns, information elements and names are made of it.
//!
//! The rows stand with what they read: those of the head in `head_fields`, those of a fact in its file.

use crate::fact;
use crate::field::{Field, Row, Rows};
use crate::{head_fields, lookup_fields};

/// All rows, by what they are of.
pub const CATALOGUE: [&Rows; 13] = [
    &head_fields::KEY,
    &head_fields::COUNTS,
    &head_fields::FIRST_PACKET,
    &fact::layers::ROWS,
    &fact::tcp::ROWS,
    &fact::udp::ROWS,
    &fact::quic::ROWS,
    &fact::responses::ROWS,
    &fact::histogram::ROWS,
    &fact::first::ROWS,
    &fact::burst::ROWS,
    &fact::nettisa::ROWS,
    &lookup_fields::ROWS,
];

/// All fields, those of the reverse direction behind those of the forward one.
pub fn fields() -> impl Iterator<Item = Field> {
    CATALOGUE.into_iter().flat_map(|rows| rows.rows).flat_map(of_row)
}

/// The fields of a row.
pub fn of_row(row: &'static Row) -> impl Iterator<Item = Field> {
    (0..=u8::from(row.both)).map(move |way| Field { row, way })
}
