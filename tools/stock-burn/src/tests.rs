//! The maths on a tiny model, on whatever adapter there is.

use std::sync::OnceLock;

use burn::tensor::{Device, DeviceKind, Tensor};
use pollster::block_on;

use crate::dpo::Dpo;
use crate::model::{Cache, Model, Shape};
use crate::ppo::Ppo;
use crate::rollout::{Rollout, sample};
use crate::sft::Sft;

const TINY: Shape = Shape { vocab: 64, d: 32, layers: 2, heads: 2, f: 64, rows: 4, time: 16 };

fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::wgpu(DeviceKind::DefaultDevice)).clone()
}

#[test]
fn sft_starts_at_a_uniform_guess_and_falls() {
    let mut sft = Sft::new(TINY, &device());
    let losses: Vec<f64> = (0..5).map(|_| block_on(sft.step()).unwrap()).collect();
    assert!((losses[0] - 64f64.ln()).abs() < 0.1, "{losses:?}");
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
}

#[test]
fn dpo_starts_at_ln_2_and_falls() {
    let mut dpo = Dpo::new(TINY, &device());
    let losses: Vec<f64> = (0..3).map(|_| block_on(dpo.step()).unwrap()).collect();
    assert!((losses[0] - 2f64.ln()).abs() < 1e-6, "{losses:?}");
    assert!(losses[2] < losses[0], "{losses:?}");
}

#[test]
fn ppo_starts_at_the_rollout_policy_and_at_the_reference() {
    let mut ppo = Ppo::new(TINY, &device());
    let [first, second] = [block_on(ppo.step()).unwrap(), block_on(ppo.step()).unwrap()];
    assert!(first.kl.abs() < 1e-4 && first.first_log_ratio < 1e-4, "{first:?}");
    assert!(second.kl != 0.0 && second.first_log_ratio < 1e-4, "{second:?}");
}

#[test]
fn the_cache_changes_nothing() {
    let (model, ids) = (Model::new(TINY, &device()), TINY.ids(3, 8, &device()));
    let whole = model.hidden(ids.clone(), None).reshape([3, 8, TINY.d]).narrow(1, 5, 3);
    let mut cache = Cache::default();
    let mut parts = vec![model.hidden(ids.clone().narrow(1, 0, 6), Some(&mut cache)).reshape([3, 6, TINY.d]).narrow(1, 5, 1)];
    for t in 6..8 {
        parts.push(model.hidden(ids.clone().narrow(1, t, 1), Some(&mut cache)).reshape([3, 1, TINY.d]));
    }
    let error = block_on(crate::optimizer::read_scalar((Tensor::cat(parts, 1) - whole).max_abs())).unwrap();
    assert!(error < 1e-4, "{error}");
}

#[test]
fn a_rollout_draws_from_the_softmax() {
    let model = Model::new(TINY, &device());
    let ids = sample(&model, TINY.ids(64, 4, &device()), 8, 1.0);
    let data = ids.into_data();
    let mut counts = vec![0; TINY.vocab];
    data.iter::<i64>().for_each(|id| counts[id as usize] += 1);
    // 512 draws of 64 nearly even choices: about 8 each.
    assert!(counts.iter().all(|&count| count < 30) && counts.iter().filter(|&&count| count > 0).count() > 55, "{counts:?}");
    let rollout = Rollout::new(TINY, 2, &device());
    assert_eq!(block_on(rollout.step()).unwrap().len(), 2 * 32);
}
