//! Chance that can be had again: a test prints its seed, and `LAKEFERRY_SEED` replays it.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// Chance for the test of this name.
pub(crate) fn seeded(test: &str) -> ChaCha8Rng {
    let seed = match std::env::var("LAKEFERRY_SEED") {
        Ok(text) => text.parse().expect("LAKEFERRY_SEED is a number"),
        Err(_) => rand::random::<u64>(),
    };
    println!("{test}: LAKEFERRY_SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}
