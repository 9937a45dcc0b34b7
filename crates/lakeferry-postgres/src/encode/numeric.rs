//! Decimals as Postgres sends `numeric` (`numeric_send` in `src/backend/utils/adt/numeric.c`):
//! digits of base 10,000 aligned on the decimal point, the highest first, no zeros at either end.

use bytes::BytesMut;

/// 128 bits have 39 decimal digits, which touch at most 11 groups of four.
const MAX_GROUPS: usize = 11;

/// Length, count, weight, sign, display scale, and the groups.
pub(super) const MAX_BYTES: usize = 4 + 8 + 2 * MAX_GROUPS;

const NEGATIVE: [u8; 2] = 0x4000_u16.to_be_bytes();

/// Four groups: the most that one division of 128 bits can take off into 64.
const FOUR_GROUPS: u128 = 10_000_000_000_000_000;

/// Appends `value · 10^−scale` with its length.
#[inline]
pub(super) fn write(value: i128, scale: u8, out: &mut BytesMut) {
    let groups = Groups::of(value.unsigned_abs(), scale);
    let digits = groups.significant();
    let count = digits.len() as u16;
    let mut bytes = [0; MAX_BYTES];
    bytes[0..4].copy_from_slice(&(8 + 2 * u32::from(count)).to_be_bytes());
    bytes[4..6].copy_from_slice(&count.to_be_bytes());
    bytes[6..8].copy_from_slice(&groups.weight(scale).to_be_bytes());
    if value < 0 {
        bytes[8..10].copy_from_slice(&NEGATIVE);
    }
    bytes[10..12].copy_from_slice(&u16::from(scale).to_be_bytes());
    let mut end = 12;
    for digit in digits.iter().rev() {
        bytes[end..end + 2].copy_from_slice(&digit.to_be_bytes());
        end += 2;
    }
    out.extend_from_slice(&bytes[..end]);
}

/// A magnitude in digits of base 10,000, the lowest first.
struct Groups {
    groups: [u16; MAX_GROUPS],
    /// The highest of them that is counted is not zero.
    count: usize,
}

impl Groups {
    #[inline]
    fn of(magnitude: u128, scale: u8) -> Self {
        let mut this = Self {
            groups: [0; MAX_GROUPS],
            count: 0,
        };
        // The lowest group holds only the digits that are left of a whole number of groups after
        // the decimal point, shifted up to its top.
        let (split, shift) = match scale % 4 {
            0 => (10_000, 1),
            1 => (10, 1_000),
            2 => (100, 100),
            _ => (1_000, 10),
        };
        match u64::try_from(magnitude) {
            Ok(small) => {
                this.push((small % split) * shift);
                this.push_all(small / split);
            }
            Err(_) => {
                let split = u128::from(split);
                this.push((magnitude % split) as u64 * shift);
                this.push_wide(magnitude / split);
            }
        }
        while this.count > 0 && this.groups[this.count - 1] == 0 {
            this.count -= 1;
        }
        this
    }

    #[inline]
    fn push(&mut self, group: u64) {
        self.groups[self.count] = group as u16;
        self.count += 1;
    }

    #[inline]
    fn push_all(&mut self, mut rest: u64) {
        while rest > 0 {
            self.push(rest % 10_000);
            rest /= 10_000;
        }
    }

    fn push_wide(&mut self, mut rest: u128) {
        while rest > u128::from(u64::MAX) {
            let mut low = (rest % FOUR_GROUPS) as u64;
            for _ in 0..4 {
                self.push(low % 10_000);
                low /= 10_000;
            }
            rest /= FOUR_GROUPS;
        }
        self.push_all(rest as u64);
    }

    /// The groups without the zeros below, the lowest first.
    #[inline]
    fn significant(&self) -> &[u16] {
        let counted = &self.groups[..self.count];
        let zeros = counted.iter().take_while(|group| **group == 0).count();
        &counted[zeros..]
    }

    /// The exponent of the highest group, in base 10,000.
    #[inline]
    fn weight(&self, scale: u8) -> i16 {
        match self.count as i16 {
            0 => 0,
            count => count - 1 - i16::from(scale.div_ceil(4)),
        }
    }
}
