//! Twin of `shaders/sampling/*.wgsl`: the next token of every row.
//!
//! B rows, V vocabulary, M columns of drawn tokens.  Source: Keskar et al. 2019 (repetition penalty), Fan et al. 2018 (top-k),
//! Holtzman et al. 2020 (top-p), Nguyen et al. 2024 (min-p), Maddison et al. 2014 (the largest of noisy logits is a draw),
//! Salmon et al. 2011 (Philox2x32-10).

use super::map_rows;

/// `begins` of a row that is done: it sees nothing.
pub const DONE: i32 = i32::MAX;
/// Every token is kept.
pub const LOWEST: f32 = -3.4e38;
/// Numbers per row in front of the stop tokens: seed (2), threshold.
pub const ROW: usize = 3;

/// The numbers of one draw, as the shaders get them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub samples: bool,
    /// 0: all.
    pub top_k: usize,
    /// 1: all.
    pub top_p: f32,
    pub min_p: f32,
    pub inv_temperature: f32,
    pub penalty: f32,
    /// Largest number of tokens that a row can hold.
    pub context: usize,
}

impl Settings {
    /// Whether there is a threshold to find.
    pub fn has_threshold(&self) -> bool {
        self.samples && (self.top_k > 0 || self.top_p < 1.0 || self.min_p > 0.0)
    }

    /// Whether tokens already seen count.
    pub fn penalises(&self) -> bool {
        self.penalty != 1.0
    }

    /// z of every token of a row.
    fn scores(&self, logits: &[f32], seen: &[i32]) -> Vec<f32> {
        let is_seen = |j: usize| self.penalises() && seen[j / 32] as u32 >> (j % 32) & 1 == 1;
        let penalised = |x: f32| if x > 0.0 { x / self.penalty } else { x * self.penalty };
        let score = |(j, &x): (usize, &f32)| (if is_seen(j) { penalised(x) } else { x }) * self.inv_temperature;
        logits.iter().enumerate().map(score).collect()
    }
}

/// The smallest z that every row's kept tokens have.  logits `[B,V]`, seen `[B,⌈V/32⌉]` bits → `[B]`
pub fn threshold(logits: &[f32], seen: &[i32], v: usize, settings: &Settings) -> Vec<f32> {
    map_rows(logits.len() / v, |row| {
        let mut sorted = settings.scores(&logits[row * v..][..v], seen_of(seen, row, v));
        sorted.sort_by(|a, b| b.total_cmp(a));
        let mut lowest = LOWEST;
        if settings.top_k > 0 && settings.top_k < v {
            lowest = sorted[settings.top_k - 1];
        }
        if settings.top_p < 1.0 {
            let kept: Vec<f64> = sorted.iter().take_while(|&&x| x >= lowest).map(|&x| f64::from(x - sorted[0]).exp()).collect();
            let wanted = kept.iter().sum::<f64>() * f64::from(settings.top_p);
            let mut mass = 0.0;
            let last = kept.iter().position(|e| {
                mass += e;
                mass >= wanted
            });
            lowest = sorted[last.unwrap_or(kept.len().saturating_sub(1))];
        }
        lowest.max(sorted[0] + settings.min_p.ln())
    })
}

/// What a draw reads and leaves for the next forward pass; all per row.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Seed (2) and threshold (bits) of each row, then the stop tokens.
    pub facts: &'a [i32],
    /// Bits of the tokens seen `[B,⌈V/32⌉]`.
    pub seen: &'a mut [i32],
    /// `[B,M]`
    pub tokens: &'a mut [i32],
    pub ids: &'a mut [i32],
    pub positions: &'a mut [i32],
    pub begins: &'a mut [i32],
}

/// Draws token `step` of every row, or takes the first largest.  logits `[B,V]`
pub fn draw(logits: &[f32], rows: Rows, step: usize, v: usize, settings: &Settings) {
    let b = rows.ids.len();
    let (columns, stops) = (rows.tokens.len() / b, &rows.facts[ROW * b..]);
    for row in 0..b {
        let token = &mut rows.tokens[row * columns + step];
        if rows.begins[row] == DONE {
            *token = -1;
            continue;
        }
        let scores = settings.scores(&logits[row * v..][..v], seen_of(rows.seen, row, v));
        if scores.iter().any(|x| !x.is_finite()) {
            (*token, rows.begins[row]) = (-2, DONE);
            continue;
        }
        let facts = &rows.facts[ROW * row..][..ROW];
        let seed = [facts[0] as u32, facts[1] as u32];
        let id = if settings.samples { sample(&scores, f32::from_bits(facts[2] as u32), step, seed) } else { argmax(&scores) };
        *token = id as i32;
        if settings.penalises() {
            rows.seen[row * v.div_ceil(32) + id / 32] |= (1u32 << (id % 32)) as i32;
        }
        let position = rows.positions[row] + 1;
        let ends = position + 1 >= settings.context as i32 || stops.contains(token);
        rows.ids[row] = if ends { 0 } else { *token };
        rows.positions[row] = if ends { 0 } else { position };
        if ends {
            rows.begins[row] = DONE;
        }
    }
}

fn seen_of(seen: &[i32], row: usize, v: usize) -> &[i32] {
    seen.get(row * v.div_ceil(32)..(row + 1) * v.div_ceil(32)).unwrap_or_default()
}

/// The first of the largest.
fn argmax(scores: &[f32]) -> usize {
    (0..scores.len()).reduce(|best, j| if scores[j] > scores[best] { j } else { best }).unwrap_or(0)
}

/// The kept token of the largest z - ln E, where E is exponential: token j with probability e^z_j / Σ e^z.
fn sample(scores: &[f32], threshold: f32, step: usize, seed: [u32; 2]) -> usize {
    let noisy = |(j, &x): (usize, &f32)| {
        let pair = (step as u32).wrapping_mul(scores.len().div_ceil(2) as u32).wrapping_add(j as u32 / 2);
        let noise = -exponential(random_bits(pair, seed)[j % 2]).ln();
        (j, if x >= threshold { f64::from(x) + noise } else { f64::NEG_INFINITY })
    };
    scores.iter().enumerate().map(noisy).fold((0, f64::NEG_INFINITY), |best, one| if one.1 > best.1 { one } else { best }).0
}

/// -ln u of u = bits / 2³², whose 1 - u is as exact as u.
fn exponential(bits: u32) -> f64 {
    let bits = bits | 1;
    let halvings = bits.leading_zeros();
    let missing = (f64::from(!(bits << halvings)) + 0.5) / 4_294_967_296.0;
    f64::from(halvings) * std::f64::consts::LN_2 - (-missing).ln_1p()
}

/// Pair `index` of the stream of `seed`, by Philox2x32-10.
fn random_bits(index: u32, seed: [u32; 2]) -> [u32; 2] {
    const MULTIPLIER: u64 = 0xd256_d193;
    let (mut counter, mut key) = ([index, seed[1]], seed[0]);
    for _ in 0..10 {
        let product = MULTIPLIER * u64::from(counter[0]);
        counter = [(product >> 32) as u32 ^ key ^ counter[1], product as u32];
        key = key.wrapping_add(0x9e37_79b9);
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution (`kat_vectors`, philox2x32, 10 rounds).
    #[test]
    fn philox_gives_the_published_numbers() {
        assert_eq!(random_bits(0, [0, 0]), [0xff1d_ae59, 0x6cd1_0df2]);
        assert_eq!(random_bits(0xffff_ffff, [0xffff_ffff, 0xffff_ffff]), [0x2c3f_628b, 0xab4f_d7ad]);
    }

    #[test]
    fn exponential_is_exact_at_both_ends() {
        let exact = [
            (u32::MAX, 0.5 / 4_294_967_296.0),
            (1, 32.0 * std::f64::consts::LN_2),
            (0x8000_0001, std::f64::consts::LN_2),
            (1 << 20, 12.0 * std::f64::consts::LN_2),
        ];
        for (bits, wanted) in exact {
            assert!((exponential(bits) / wanted - 1.0).abs() < 1e-6, "{bits:#x}: {} for {wanted}", exponential(bits));
        }
    }
}
