//! Exact numbers. Terraform computes with 512-bit decimals, so a float in between would change what a user
//! wrote: an `i64` where it fits, a big decimal elsewhere. Equality and order are numeric, whatever the form.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bigdecimal::{BigDecimal, ToPrimitive};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// The longest number text that is read. Terraform's own precision is about 154 digits; 1e300 is 301
/// characters.
pub const MAX_NUMBER_TEXT: usize = 4096;
/// The largest power of ten, either way. Larger ones would make a text of that many zeros on the wire.
pub const MAX_EXPONENT: i64 = 4096;

/// The name under which a number that is no `i64` passes through serde. Private to this layer.
pub(super) const NUMBER_TOKEN: &str = "\u{0}framework::Number";

/// A number without loss.
///
/// ```
/// # use harness_provider::framework::value::Number;
/// let big: Number = "18446744073709551616".parse().unwrap();
/// assert_eq!(big.to_string(), "18446744073709551616");
/// assert_eq!("2.0".parse::<Number>().unwrap(), Number::from(2));
/// ```
#[derive(Clone)]
pub struct Number(Repr);

/// Always in the first form that fits, so that equal numbers have equal forms.
#[derive(Clone, PartialEq, Eq)]
enum Repr {
    Int(i64),
    Decimal(Box<BigDecimal>),
    Infinite { negative: bool },
}

/// Why a text or a float is not a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not decimal notation.
    #[error("not a decimal number")]
    Syntax,
    /// More digits or a larger exponent than is read.
    #[error(
        "number too long: at most {MAX_NUMBER_TEXT} characters and powers of ten up to {MAX_EXPONENT} are read"
    )]
    TooLong,
    /// A float that is no number.
    #[error("not a number (NaN)")]
    NotANumber,
}

impl Number {
    /// Positive infinity.
    pub const INFINITY: Self = Self(Repr::Infinite { negative: false });
    /// Negative infinity.
    pub const NEG_INFINITY: Self = Self(Repr::Infinite { negative: true });

    fn from_decimal(decimal: &BigDecimal) -> Result<Self, NumberError> {
        let decimal = decimal.normalized();
        let (digits, scale) = decimal.as_bigint_and_exponent();
        if scale.unsigned_abs() > MAX_EXPONENT.unsigned_abs() || digits.bits() > 4 * MAX_NUMBER_TEXT as u64 {
            return Err(NumberError::TooLong);
        }
        // After normalizing, a positive scale means a fraction.
        if scale <= 0
            && let Some(int) = decimal.to_i64()
        {
            return Ok(Self(Repr::Int(int)));
        }
        Ok(Self(Repr::Decimal(Box::new(decimal))))
    }

    /// The exact value of a float, every binary digit of it.
    pub fn from_f64_exact(float: f64) -> Result<Self, NumberError> {
        if float.is_nan() {
            return Err(NumberError::NotANumber);
        }
        if float.is_infinite() {
            return Ok(Self(Repr::Infinite {
                negative: float < 0.0,
            }));
        }
        Self::from_decimal(&BigDecimal::try_from(float).map_err(|_| NumberError::NotANumber)?)
    }

    /// The shortest decimal that reads back as this float: `0.1` becomes 0.1, which is what a person means by
    /// it.
    pub fn from_f64_shortest(float: f64) -> Result<Self, NumberError> {
        if float.is_finite() {
            format!("{float:e}").parse()
        } else {
            Self::from_f64_exact(float)
        }
    }

    /// The number as an `i64`, when it is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(int) => Some(int),
            _ => None,
        }
    }

    /// The number as a `u64`, when it is one.
    pub fn as_u64(&self) -> Option<u64> {
        match &self.0 {
            Repr::Int(int) => u64::try_from(*int).ok(),
            Repr::Decimal(decimal) if decimal.is_integer() => decimal.to_u64(),
            _ => None,
        }
    }

    /// The nearest float.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            #[expect(
                clippy::cast_precision_loss,
                reason = "the nearest float is what is asked for"
            )]
            Repr::Int(int) => *int as f64,
            // Through text: the parser of the standard library rounds correctly.
            Repr::Decimal(decimal) => decimal.to_scientific_notation().parse().unwrap_or(f64::NAN),
            Repr::Infinite { negative } => {
                if *negative {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
        }
    }

    /// The float that is exactly this number, for fractions and infinities only: Terraform puts no other
    /// floats on the wire.
    pub(super) fn as_wire_f64(&self) -> Option<f64> {
        match &self.0 {
            Repr::Int(_) => None,
            Repr::Infinite { .. } => Some(self.to_f64()),
            Repr::Decimal(decimal) if decimal.is_integer() => None,
            Repr::Decimal(_) => {
                let float = self.to_f64();
                (Self::from_f64_exact(float).as_ref() == Ok(self)).then_some(float)
            }
        }
    }
}

impl FromStr for Number {
    type Err = NumberError;

    /// Reads `-12`, `0.1`, `1e300`.
    fn from_str(text: &str) -> Result<Self, NumberError> {
        if text.len() > MAX_NUMBER_TEXT {
            return Err(NumberError::TooLong);
        }
        if let Ok(int) = text.parse::<i64>() {
            return Ok(Self(Repr::Int(int)));
        }
        // The decimal parser is lenient (underscores, a lone sign); what may come here is not.
        let (mantissa, exponent) = text
            .split_once(['e', 'E'])
            .map_or((text, None), |(m, e)| (m, Some(e)));
        let digits = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let well_formed = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && digits.bytes().filter(|b| *b == b'.').count() <= 1
            && digits.bytes().any(|b| b.is_ascii_digit());
        if !well_formed {
            return Err(NumberError::Syntax);
        }
        if let Some(exponent) = exponent {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(NumberError::Syntax);
            }
            // Checked before the decimal is made: its size grows with the power.
            if exponent.parse::<i64>().map_or(true, |e| e.abs() > MAX_EXPONENT) {
                return Err(NumberError::TooLong);
            }
        }
        Self::from_decimal(&text.parse::<BigDecimal>().map_err(|_| NumberError::Syntax)?)
    }
}

impl fmt::Display for Number {
    /// Plain decimal notation, never an exponent, as Terraform writes numbers on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Int(int) => int.fmt(f),
            Repr::Decimal(decimal) => f.write_str(&decimal.to_plain_string()),
            Repr::Infinite { negative } => f.write_str(if *negative { "-Inf" } else { "Inf" }),
        }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        // −∞ < every finite number < ∞.
        fn class(repr: &Repr) -> i8 {
            match repr {
                Repr::Infinite { negative: true } => -1,
                Repr::Infinite { negative: false } => 1,
                _ => 0,
            }
        }
        match (&self.0, &other.0) {
            (Repr::Int(a), Repr::Int(b)) => a.cmp(b),
            (Repr::Decimal(a), Repr::Decimal(b)) => a.cmp(b),
            (Repr::Int(a), Repr::Decimal(b)) => BigDecimal::from(*a).cmp(b),
            (Repr::Decimal(a), Repr::Int(b)) => (**a).cmp(&BigDecimal::from(*b)),
            (a, b) => class(a).cmp(&class(b)),
        }
    }
}

macro_rules! from_small {
    ($($int:ty),*) => {$(
        impl From<$int> for Number {
            fn from(int: $int) -> Self {
                Self(Repr::Int(int64(int)))
            }
        }
    )*};
}

fn int64(int: impl Into<i64>) -> i64 {
    int.into()
}

from_small!(i8, i16, i32, i64, u8, u16, u32);

impl From<u64> for Number {
    fn from(int: u64) -> Self {
        i64::try_from(int).map_or_else(
            |_| Self(Repr::Decimal(Box::new(BigDecimal::from(int).normalized()))),
            Self::from,
        )
    }
}

// === serde: an i64 as such, everything else as its text under a name only this layer knows ===

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Repr::Int(int) => serializer.serialize_i64(int),
            _ => serializer.serialize_newtype_struct(NUMBER_TOKEN, &self.to_string()),
        }
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E: de::Error>(self, int: i64) -> Result<Number, E> {
        Ok(Number::from(int))
    }

    fn visit_u64<E: de::Error>(self, int: u64) -> Result<Number, E> {
        Ok(Number::from(int))
    }

    fn visit_f64<E: de::Error>(self, float: f64) -> Result<Number, E> {
        Number::from_f64_shortest(float).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
        match text {
            "Inf" => Ok(Number::INFINITY),
            "-Inf" => Ok(Number::NEG_INFINITY),
            _ => text.parse().map_err(E::custom),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NUMBER_TOKEN, NumberVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn equality_is_numeric() {
        assert_eq!(number("2"), number("2.000"));
        assert_eq!(number("1e3"), Number::from(1000));
        assert_eq!(number("-0"), Number::from(0));
        assert_eq!(number("-0.0"), Number::from(0));
        assert_eq!(Number::from(u64::MAX), number("18446744073709551615"));
        assert_ne!(number("0.1"), Number::from_f64_exact(0.1).unwrap());
        assert_eq!(number("0.1"), Number::from_f64_shortest(0.1).unwrap());
    }

    #[test]
    fn nothing_is_lost_in_text() {
        for text in [
            "0.1",
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890.000000001",
        ] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(number("1e300").to_string().len(), 301);
    }

    #[test]
    fn order_spans_the_forms() {
        let mut numbers = [
            Number::INFINITY,
            number("1e30"),
            number("0.5"),
            Number::from(1),
            number("-1e30"),
            Number::NEG_INFINITY,
            Number::from(0),
        ];
        numbers.sort();
        let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "-Inf");
        assert_eq!(texts[2..5], ["0", "0.5", "1"]);
        assert_eq!(texts[6], "Inf");
    }

    #[test]
    fn hostile_texts_are_refused_without_work() {
        for text in [
            "", "-", ".", "1_0", "0x10", "1e", "1e+", "nan", "Inf", "1.2.3", "--1", " 1",
        ] {
            assert_eq!(text.parse::<Number>(), Err(NumberError::Syntax), "{text:?}");
        }
        for text in ["1e999999999999", "1e-5000", &"9".repeat(5000)] {
            assert_eq!(text.parse::<Number>(), Err(NumberError::TooLong), "{text:.20}");
        }
    }

    #[test]
    fn only_exact_fractions_are_floats_on_the_wire() {
        assert_eq!(number("0.5").as_wire_f64(), Some(0.5));
        assert_eq!(number("0.1").as_wire_f64(), None);
        assert_eq!(number("9223372036854775808").as_wire_f64(), None);
        assert_eq!(Number::NEG_INFINITY.as_wire_f64(), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn conversions_to_machine_numbers_are_exact_or_nothing() {
        assert_eq!(Number::from(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(Number::from(u64::MAX).as_i64(), None);
        assert_eq!(number("0.5").as_u64(), None);
        assert_eq!(Number::from(-1).as_u64(), None);
    }
}
