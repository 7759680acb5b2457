//! Amounts as Kubernetes writes them, of storage, memory or processors: `10Gi`, `10737418240`, `1.5e9`, `250m`.
// kube_quantity reads neither `5E` nor `16Ei`, and brings a parser and a decimal type with it.

use std::str::FromStr;

/// Units from the smallest one, 1024 times the one before each.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Units and their powers of ten.
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
/// Kubernetes keeps nothing smaller.
const NANO: i32 = 9;

/// An amount in billionths, as exact as Kubernetes is; what is too large for that is the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u128);

/// A text is no amount, or a negative one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount as Kubernetes writes them, such as 10Gi or 250m")]
pub struct NoQuantity;

impl Quantity {
    /// One: a processor, or a byte.
    const ONE: u128 = 1_000_000_000;

    /// So many processors, or bytes.
    pub const fn whole(number: u64) -> Self {
        // Cannot overflow: both factors are of 64 bits at most.
        Self(number as u128 * Self::ONE)
    }

    /// Whether it is nothing at all.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Both together; what is too large is the largest.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of this when `other` is taken away, at least nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many of it.
    #[must_use]
    pub fn times(self, number: u64) -> Self {
        Self(self.0.saturating_mul(u128::from(number)))
    }

    /// In whole bytes, rounded up.
    pub fn bytes(self) -> u64 {
        u64::try_from(self.0.div_ceil(Self::ONE)).unwrap_or(u64::MAX)
    }

    /// In thousandths, as processors are shown, rounded up.
    pub fn thousandths(self) -> u64 {
        u64::try_from(self.0.div_ceil(Self::ONE / 1000)).unwrap_or(u64::MAX)
    }
}

impl FromStr for Quantity {
    type Err = NoQuantity;

    fn from_str(text: &str) -> Result<Self, NoQuantity> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let end = text.find(|c| !is_number(c)).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.contains('.') {
            return Err(NoQuantity);
        }
        let digits = digits.trim_start_matches('0');
        let (binary, decimal) = factor(unit).ok_or(NoQuantity)?;
        let places = i32::try_from(fraction.len()).map_err(|_| NoQuantity)?;
        let mantissa = match digits {
            "" => return Ok(Self(0)),
            // Only digits are left: it has too many.
            _ => digits.parse().unwrap_or(u128::MAX),
        };
        let power = decimal.saturating_sub(places).saturating_add(NANO);
        Ok(Self(scaled(mantissa, binary, power)))
    }
}

/// The powers of 1024 and of 10 that a unit stands for.
fn factor(unit: &str) -> Option<(u32, i32)> {
    if let Some(at) = BINARY.iter().position(|one| *one == unit) {
        return Some((u32::try_from(at).ok()? + 1, 0));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(one, _)| *one == unit) {
        return Some((0, *power));
    }
    // `5E` is five exa, `5E3` five thousand.
    let exponent = unit.strip_prefix(['e', 'E'])?;
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let limit = if exponent.starts_with('-') {
        i32::MIN
    } else {
        i32::MAX
    };
    Some((0, exponent.parse().unwrap_or(limit)))
}

/// Rounded up, as Kubernetes does.
fn scaled(mantissa: u128, binary: u32, power: i32) -> u128 {
    let Some(amount) = mantissa.checked_mul(1024_u128.pow(binary)) else {
        return u128::MAX;
    };
    let factor = 10_u128.checked_pow(power.unsigned_abs());
    if power < 0 {
        factor.map_or(1, |factor| amount.div_ceil(factor))
    } else {
        factor
            .and_then(|factor| amount.checked_mul(factor))
            .unwrap_or(u128::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn equal_amounts_are_equal_however_they_are_written() {
        for same in [
            &["10Gi", "10737418240", "+10Gi", "10240Mi", "10.0Gi", "010Gi"][..],
            &[
                "1e3", "1E3", "1k", "1000", "1000000m", "1e+3", "0.1e4", "10000e-1",
            ],
            &["5E", "5e18", "5000P"],
            &[".5Gi", "0.5Gi", "512Mi"],
            &["1.5e9", "1.5G", "1500M"],
            &["5.", "5", "5.000"],
            &["0", "0Gi", "0.0", "0e999999999999"],
            &["1n", "0.1n", "1e-99999999999999"],
        ] {
            for text in same {
                assert_eq!(quantity(text), quantity(same[0]), "{text}");
            }
        }
    }

    #[test]
    fn amounts_are_compared_by_what_they_are_and_not_by_their_text() {
        let rising = [
            "0", "1m", "9", "1k", "1Ki", "999M", "1G", "1Gi", "9Gi", "10Gi", "10Gi1", "1T", "1Ti",
            "15Ei", "16Ei", "9e99",
        ];
        let amounts: Vec<Quantity> = rising.iter().filter_map(|text| text.parse().ok()).collect();
        assert_eq!(amounts.len(), rising.len() - 1, "10Gi1 is none");
        assert!(amounts.is_sorted_by(|a, b| a < b), "{amounts:?}");
        assert!(quantity("0Gi").is_zero() && !quantity("1n").is_zero());
    }

    #[test]
    fn amounts_are_added_and_taken_away_and_never_below_nothing() {
        assert_eq!(quantity("1500m"), quantity("1").plus(quantity("500m")));
        assert_eq!(quantity("250m").times(4), Quantity::whole(1));
        assert_eq!(quantity("1").minus(quantity("2")), Quantity::default());
        assert_eq!(quantity("1.5Ki").bytes(), 1536);
        assert_eq!(quantity("100.1m").thousandths(), 101);
        let most = quantity("9e99");
        assert_eq!(most.plus(most).times(2), most);
        assert_eq!((most.bytes(), most.thousandths()), (u64::MAX, u64::MAX));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "", ".", "Gi", "-1", "-5Gi", "10 Gi", "10GB", "10gi", "1K", "1.2.3", "1e", "1e+", "e3",
            "0x10", "1Gi ", "inf", "１Gi", "1e3Gi",
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(NoQuantity), "{text:?}");
        }
    }

    #[test]
    fn amounts_of_any_length_do_not_overflow() {
        let long = "9".repeat(1000);
        for text in [long.clone(), format!("{long}Ei"), "1e2147483647".to_owned()] {
            assert_eq!(quantity(&text), Quantity(u128::MAX), "{text}");
        }
        assert_eq!(
            quantity(&format!("0.{}1", "0".repeat(1000))),
            quantity("1n")
        );
    }
}
