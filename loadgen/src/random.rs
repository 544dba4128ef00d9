//! Random numbers that can be had again: the value of message `n` of a device follows from seed, device and `n`, so that a
//! message that has to be sent a second time is built anew instead of being kept.
//! - Source: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
//! - Not here: anything secret.

use crate::number;

/// A stream of random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Random {
    state: u64,
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream that belongs to these three; equal arguments give equal streams.
    pub(crate) const fn new(seed: u64, stream: u64, position: u64) -> Self {
        let state = mix(mix(seed.wrapping_add(STEP)) ^ mix(stream.wrapping_mul(STEP)) ^ position.wrapping_mul(STEP));
        Self { state }
    }

    /// The next 64 bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        number::float(self.bits() >> 11) / 9_007_199_254_740_992.0
    }

    /// Exponentially distributed with mean 1: the gap between events of a Poisson process of rate 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_arguments_give_equal_streams_and_the_means_are_right() {
        assert_eq!(Random::new(1, 2, 3).bits(), Random::new(1, 2, 3).bits());
        assert_ne!(Random::new(1, 2, 3).bits(), Random::new(1, 2, 4).bits());
        let mut random = Random::new(42, 0, 0);
        let draws = 20_000_u32;
        let unit: f64 = (0..draws).map(|_| random.unit()).sum::<f64>() / f64::from(draws);
        let gap: f64 = (0..draws).map(|_| random.exponential()).sum::<f64>() / f64::from(draws);
        assert!((unit - 0.5).abs() < 0.02, "{unit}");
        assert!((gap - 1.0).abs() < 0.04, "{gap}");
    }
}
