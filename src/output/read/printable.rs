//! The strings of a document, made printable while it is read: whoever wrote it, no command can
//! show raw what it must not. What does something to a terminal is escaped; a line break stays
//! where a text may have several lines.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::escape;

/// The fields whose texts may have several lines: consoles and logs, reasons, histories, and what was
/// expected and seen on the wire.
const SEVERAL_LINES: [&str; 7] =
    ["console", "text", "why", "reason", "expected", "actual", "history"];

/// A document in JSON.
///
/// # Errors
/// Those of [`serde_json`], in which no text of the document is raw either.
pub fn from_json<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = T::deserialize(Printable { inner: &mut json, place: Place::Line })?;
    json.end()?;
    Ok(read)
}

/// What a string is.
#[derive(Clone, Copy)]
enum Place<'k> {
    /// One line.
    Line,
    /// The value of one of [`SEVERAL_LINES`].
    Lines,
    /// A field's name, of which is kept whether its value may have several lines.
    Name(&'k Cell<bool>),
}

impl Place<'_> {
    fn printable<'t>(self, text: &'t str) -> Cow<'t, str> {
        match self {
            Self::Line => escape::line(text),
            Self::Lines => escape::lines(text),
            Self::Name(has_lines) => {
                has_lines.set(SEVERAL_LINES.contains(&text));
                escape::line(text)
            }
        }
    }
}

/// Anything of serde's that strings come through: a deserializer, a visitor, a seed, an access.
struct Printable<'k, T> {
    inner: T,
    place: Place<'k>,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Printable<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(Printable { inner: visitor, place: self.place })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(Printable { inner: visitor, place: self.place })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Printable { inner: visitor, place: self.place };
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Printable { inner: visitor, place: self.place };
        self.inner.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Printable<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<V::Value, E> {
        self.inner.visit_bool(is)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<V::Value, E> {
        self.inner.visit_i64(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<V::Value, E> {
        self.inner.visit_u64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<V::Value, E> {
        self.inner.visit_f64(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.inner.visit_str(&self.place.printable(text))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        match self.place.printable(text) {
            Cow::Borrowed(text) => self.inner.visit_borrowed_str(text),
            Cow::Owned(text) => self.inner.visit_string(text),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Printable { inner: some, place: self.place })
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inside: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Printable { inner: inside, place: self.place })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Printable { inner: elements, place: self.place })
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Fields { inner: fields, has_lines: Cell::new(false) })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Printable { inner: variant, place: self.place })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Printable<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Printable { inner: from, place: self.place })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Printable<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(Printable { inner: seed, place: self.place })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// The fields of an object.
struct Fields<A> {
    inner: A,
    /// Whether the value of the name that was read last may have several lines.
    has_lines: Cell<bool>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let place = Place::Name(&self.has_lines);
        self.inner.next_key_seed(Printable { inner: seed, place })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let place = if self.has_lines.get() { Place::Lines } else { Place::Line };
        self.inner.next_value_seed(Printable { inner: seed, place })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'k, A: EnumAccess<'de>> EnumAccess<'de> for Printable<'k, A> {
    type Error = A::Error;
    type Variant = Printable<'k, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let place = self.place;
        let (name, inside) = self.inner.variant_seed(Printable { inner: seed, place })?;
        Ok((name, Printable { inner: inside, place }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Printable<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Printable { inner: seed, place: self.place })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Printable { inner: visitor, place: self.place })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Printable { inner: visitor, place: self.place })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::output::document::Complaint;
    use scenarios::judge::Verdict;

    #[test]
    fn names_are_one_line_and_reasons_may_have_several() {
        let json = br#"{"during": "a\nok b\u001b[1m", "text": "WARNING\u0007\n at f"}"#;
        let read: Complaint = from_json(json).expect("a complaint");
        let (during, text) = ("a\\nok b\\u{1b}[1m".into(), "WARNING\\u{7}\n at f".into());
        assert_eq!(read, Complaint { during, text });
    }

    /// Wherever a string is: in lists, in options, in maps and their keys, in enums.
    #[test]
    fn every_string_is_printable() {
        #[derive(Debug, PartialEq, Deserialize)]
        enum Kind {
            Unit,
            One(String),
            Fields { name: String },
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct Wrapped(String);
        #[derive(Debug, PartialEq, Deserialize)]
        struct Rest {
            flat: String,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct All {
            list: Vec<String>,
            some: Option<String>,
            none: Option<String>,
            map: BTreeMap<String, Wrapped>,
            kinds: Vec<Kind>,
            number: f64,
            yes: bool,
            expected: Vec<String>,
            #[serde(flatten)]
            rest: Rest,
        }
        let json = r#"{"list": ["\r"], "some": "\r", "none": null, "map": {"\r": "\r"},
            "kinds": ["Unit", {"One": "\r"}, {"Fields": {"name": "\r"}}], "number": 1.5,
            "yes": true, "expected": ["a\nb\r"], "flat": "\u202e", "unknown": ["\r"]}"#;
        let r = || "\\r".to_owned();
        let all = All {
            list: vec![r()],
            some: Some(r()),
            none: None,
            map: [(r(), Wrapped(r()))].into(),
            kinds: vec![Kind::Unit, Kind::One(r()), Kind::Fields { name: r() }],
            number: 1.5,
            yes: true,
            expected: vec!["a\nb\\r".into()],
            rest: Rest { flat: "\\u{202e}".into() },
        };
        assert_eq!(from_json::<All>(json.as_bytes()).expect("it is all there"), all);
    }

    #[test]
    fn what_an_error_quotes_is_printable_too() {
        let wrong = br#"{"verdict": "\u001b]0;x\u0007\n::error::x"}"#;
        let error = from_json::<Verdict>(wrong).expect_err("no such verdict").to_string();
        assert!(error.contains(r"\u{1b}]0;x\u{7}\n::error::x"), "{error}");
        assert!(!error.contains(char::is_control), "{error}");
    }

    #[test]
    fn what_follows_a_document_is_no_document() {
        assert!(from_json::<Complaint>(br#"{"during": "", "text": ""} x"#).is_err());
    }
}
