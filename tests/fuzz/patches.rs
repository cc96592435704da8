//! Inputs that are never written to a file, a million in ten seconds of the other targets: files
//! with a few edits, of which each is patched in place many times.
//!
//! A patch is another number in a field, or other bytes in the contents of an entry, whose
//! checksums are then corrected. It takes a microsecond; an edit, which may move everything behind
//! it, takes a hundred.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Instant;

use super::ALLOCATOR;
use super::target::{RUNNING, SLOW, seconds, seed, tell};
use super::zip::{Contents, Places};

/// Inputs of one target for each second that the others have; there are three.
const FOR_A_SECOND: f64 = 4e4;

/// Bytes of memory that every input may use, however small it is: an archive may have deflated
/// bytes, whose decoder needs 50 kB.
const BASE: usize = 1 << 18;

/// A file, and where it is patched.
pub struct Template {
    pub bytes: Vec<u8>,
    pub places: Places,
}

/// Random numbers: xorshift64* (Vigna 2016). A generator of a crate would be compiled with this
/// program, without optimization.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Puts another number into a field.
fn patch_field(bytes: &mut [u8], fields: &[(usize, usize)], random: &mut Random) {
    let (at, width) = fields[random.below(fields.len())];
    let mut number = [0; 8];
    number[..width].copy_from_slice(&bytes[at..at + width]);
    let truth = u64::from_le_bytes(number);
    let number = match random.below(5) {
        0 => truth.wrapping_add(random.next() % 17).wrapping_sub(8),
        1 => random.next() % (bytes.len() as u64 + 2),
        2 => 1 << random.below(64),
        3 => u64::MAX >> random.below(64),
        // That of another field.
        _ => {
            let (other, other_width) = fields[random.below(fields.len())];
            let mut number = [0; 8];
            number[..other_width].copy_from_slice(&bytes[other..other + other_width]);
            u64::from_le_bytes(number)
        }
    };
    bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
}

/// Puts other bytes into the contents of an entry.
fn patch_contents(bytes: &mut [u8], contents: &Contents, random: &mut Random) {
    /// Instructions of pickles, and what literals consist of.
    const SIGNS: &[u8] =
        b"(t)}su.qhrjKMJXcQRbN\x85\x86\x87\x88\x89\x8a'\"[]{},:<>|=fiub0123489 \n\0\xff";
    let own = &mut bytes[contents.range.clone()];
    if own.is_empty() {
        return;
    }
    let at = random.below(own.len());
    match random.below(4) {
        0 => own[at] = random.next() as u8,
        1 => own[at] ^= 1 << random.below(8),
        2 => own[at] = SIGNS[random.below(SIGNS.len())],
        _ => {
            let from = random.below(own.len());
            let length = random.below(9).min(own.len() - at.max(from));
            own.copy_within(from..from + length, at);
        }
    }
    let checksum = crc32fast::hash(own).to_le_bytes();
    if !contents.is_packed {
        for &at in &contents.checksums {
            bytes[at..at + 4].copy_from_slice(&checksum);
        }
    }
}

/// Checks patched templates. The bytes of a failure are written to a file, for the corpus, whose
/// target shrinks it.
pub fn fuzz_in_memory(name: &str, expansion: usize, templates: &[Template], check: impl Fn(&[u8])) {
    let _alone = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let inputs = (seconds().as_secs_f64() * FOR_A_SECOND) as usize;
    let mut random = Random(seed().wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (start, mut bytes) = (Instant::now(), Vec::new());
    for i in 0..inputs {
        let Template { bytes: template, places: Places { fields, contents } } =
            &templates[i % templates.len()];
        bytes.clear();
        bytes.extend_from_slice(template);
        // The first time as they are.
        let patches = if i < templates.len() { 0 } else { 1 + random.below(3) };
        for _ in 0..patches {
            if contents.is_empty() || !fields.is_empty() && random.below(3) == 0 {
                patch_field(&mut bytes, fields, &mut random);
            } else {
                patch_contents(&mut bytes, &contents[random.below(contents.len())], &mut random);
            }
        }
        ALLOCATOR.reset_peak_usage();
        let (before, begun) = (ALLOCATOR.current_usage(), Instant::now());
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
        let used = ALLOCATOR.peak_usage().saturating_sub(before);
        let (allowed, took) = (BASE + bytes.len() * expansion, begun.elapsed());
        if outcome.is_err() || used > allowed || took > SLOW {
            let failing =
                Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("failing");
            fs::write(&failing, &bytes).unwrap();
            panic!(
                "{name}, input {i}: {used} bytes of memory, allowed are {allowed}, in {took:?}; \
                 bytes in {}",
                failing.display()
            );
        }
    }
    let took = start.elapsed();
    let rate = inputs as f64 / took.as_secs_f64();
    tell(&format!("{name}: {inputs} inputs in {took:.1?}, {rate:.0} a second"));
}
