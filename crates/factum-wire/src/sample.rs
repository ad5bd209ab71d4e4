//! Random messages for tests: every field of the version set, from a seed.

use bytes::Bytes;
use uuid::Uuid;

use crate::codec::Form;
use crate::{Records, Str};

/// A sequence of numbers that a seed rules (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    ///
    /// # Panics
    /// If `limit` is zero.
    #[allow(clippy::cast_possible_truncation)] // below a usize
    pub const fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }

    /// `length` random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll().to_be_bytes()[0]).collect()
    }

    /// Mostly short lengths, now and then one that takes two bytes as a varint.
    fn length(&mut self) -> usize {
        if self.below(8) == 0 { 120 + self.below(1000) } else { self.below(12) }
    }
}

/// A type that can be drawn at random for a version.
pub(crate) trait Sample: Sized {
    fn sample(dice: &mut Dice, form: Form) -> Self;
}

macro_rules! sample_numbers {
    ($($type:ty)*) => { $(
        impl Sample for $type {
            fn sample(dice: &mut Dice, _: Form) -> Self {
                let [first, .., small] = dice.roll().to_be_bytes();
                match small % 4 {
                    0 => -1,
                    1 => <$type>::MAX,
                    2 => Self::from(first.cast_signed()),
                    _ => {
                        let mut bytes = [0; size_of::<$type>()];
                        bytes.copy_from_slice(&dice.bytes(size_of::<$type>()));
                        Self::from_be_bytes(bytes)
                    }
                }
            }
        }
    )* };
}

sample_numbers! { i8 i16 i32 i64 }

impl Sample for u16 {
    fn sample(dice: &mut Dice, form: Form) -> Self {
        i16::sample(dice, form).cast_unsigned()
    }
}

impl Sample for f64 {
    fn sample(dice: &mut Dice, form: Form) -> Self {
        // A number: what is none is not equal to itself.
        Self::from(i32::sample(dice, form)) / 8.0
    }
}

impl Sample for bool {
    fn sample(dice: &mut Dice, _: Form) -> Self {
        dice.below(2) == 1
    }
}

impl Sample for Uuid {
    fn sample(dice: &mut Dice, _: Form) -> Self {
        Self::from_u64_pair(dice.roll(), dice.roll())
    }
}

impl Sample for Str {
    fn sample(dice: &mut Dice, _: Form) -> Self {
        let letters = ['a', 'z', '0', '-', '.', '_', 'ä', '語', '😀', '\0'];
        let length = dice.length();
        (0..length).map(|_| letters[dice.below(letters.len())]).collect::<String>().into()
    }
}

impl Sample for Bytes {
    fn sample(dice: &mut Dice, _: Form) -> Self {
        let length = dice.length();
        dice.bytes(length).into()
    }
}

impl Sample for Records {
    fn sample(dice: &mut Dice, form: Form) -> Self {
        let chunks = dice.below(4);
        (0..chunks).map(|_| Bytes::sample(dice, form)).collect::<Vec<_>>().into()
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(dice: &mut Dice, form: Form) -> Self {
        let length = dice.below(4);
        (0..length).map(|_| T::sample(dice, form)).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(dice: &mut Dice, form: Form) -> Self {
        let none = form.nullable && dice.below(4) == 0;
        (!none).then(|| T::sample(dice, form))
    }
}
