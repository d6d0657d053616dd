//! Rows of the catalogue: what is looked up of the ends of a flow (`live.enrichment`). Whoever shows a record has the tables.

use crate::fact::Facts;
use crate::field::{End, Lookup, Row, Rows, Type, csv, iana, ntop, own};

pub(crate) const ROWS: Rows = Rows {
    title: "Where and whose the ends are, where addresses are looked up",
    facts: Facts::NONE,
    rows: &[
        Row::looked_up("source_as_number", Type::Unsigned, "autonomous system of the source; 0: not known", End::Source, Lookup::AsNumber)
            .api(&["source_place.as_number"])
            .elements(&[iana(16, "bgpSourceAsNumber")])
            .aliases(&[csv("src_as")]),
        Row::looked_up("destination_as_number", Type::Unsigned, "of the destination", End::Destination, Lookup::AsNumber)
            .api(&["destination_place.as_number"])
            .elements(&[iana(17, "bgpDestinationAsNumber")])
            .aliases(&[csv("dst_as")]),
        Row::looked_up("source_prefix_length", Type::Unsigned, "length of the longest route's prefix", End::Source, Lookup::PrefixLength)
            .api(&["source_place.prefix_length"])
            .elements(&[iana(9, "sourceIPv4PrefixLength"), iana(29, "sourceIPv6PrefixLength")])
            .aliases(&[csv("src_prefix_length")]),
        Row::looked_up("destination_prefix_length", Type::Unsigned, "of the destination", End::Destination, Lookup::PrefixLength)
            .api(&["destination_place.prefix_length"])
            .elements(&[iana(13, "destinationIPv4PrefixLength"), iana(30, "destinationIPv6PrefixLength")])
            .aliases(&[csv("dst_prefix_length")]),
        Row::looked_up("source_as_name", Type::Text, "name of the autonomous system", End::Source, Lookup::AsName)
            .api(&["source_place.as_name"])
            .aliases(&[csv("src_as_name")])
            .elements(&[own(110, "sondeSourceAsName")]),
        Row::looked_up("destination_as_name", Type::Text, "of the destination", End::Destination, Lookup::AsName)
            .api(&["destination_place.as_name"])
            .aliases(&[csv("dst_as_name")])
            .elements(&[own(111, "sondeDestinationAsName")]),
        Row::looked_up("source_country", Type::Text, "two letters, ISO 3166-1", End::Source, Lookup::Country)
            .api(&["source_place.country"])
            .elements(&[ntop(101, "SRC_IP_COUNTRY")])
            .aliases(&[csv("src_country")]),
        Row::looked_up("destination_country", Type::Text, "of the destination", End::Destination, Lookup::Country)
            .api(&["destination_place.country"])
            .elements(&[ntop(103, "DST_IP_COUNTRY")])
            .aliases(&[csv("dst_country")]),
        Row::looked_up("source_country_number", Type::Unsigned, "three digits, ISO 3166-1", End::Source, Lookup::CountryNumber)
            .api(&["source_place.country_number"])
            .aliases(&[csv("src_country_number")])
            .elements(&[own(112, "sondeSourceCountryNumber")]),
        Row::looked_up("destination_country_number", Type::Unsigned, "of the destination", End::Destination, Lookup::CountryNumber)
            .api(&["destination_place.country_number"])
            .aliases(&[csv("dst_country_number")])
            .elements(&[own(113, "sondeDestinationCountryNumber")]),
        Row::looked_up("source_city", Type::Text, "city", End::Source, Lookup::City)
            .api(&["source_place.city"])
            .elements(&[ntop(102, "SRC_IP_CITY")])
            .aliases(&[csv("src_city")]),
        Row::looked_up("destination_city", Type::Text, "of the destination", End::Destination, Lookup::City)
            .api(&["destination_place.city"])
            .elements(&[ntop(104, "DST_IP_CITY")])
            .aliases(&[csv("dst_city")]),
        Row::looked_up("source_network", Type::Text, "name of the own prefix", End::Source, Lookup::Network)
            .api(&["source_place.network"])
            .elements(&[ntop(525, "SRC_HOST_LABEL")])
            .aliases(&[csv("src_network")]),
        Row::looked_up("destination_network", Type::Text, "of the destination", End::Destination, Lookup::Network)
            .api(&["destination_place.network"])
            .elements(&[ntop(526, "DST_HOST_LABEL")])
            .aliases(&[csv("dst_network")]),
    ],
};
