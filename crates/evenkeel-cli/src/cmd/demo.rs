//! `evenkeel demo`: the whole pipeline on the embedded world.

use crate::args::DemoArgs;

/// Runs SFT, preferences, reward model, PPO at two β and DPO, and compares them.
pub fn run(_args: &DemoArgs) -> anyhow::Result<()> {
    anyhow::bail!("the demo is not built in yet")
}
