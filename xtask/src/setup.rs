//! What the other chores need on the machine. Each part looks first and installs only what is missing.

use anyhow::Result;

use crate::{steps::Report, tools, wasm};

/// Everything, in the order of `cargo xtask test`.
pub fn everything(report: &mut Report) {
    report.step("wasm32 target", wasm_target);
    report.step("Vulkan driver", vulkan);
    report.step("Chromium", chromium);
    report.step("wasm-bindgen and wasm-pack", wasm_test_runner);
    report.step("trunk", trunk);
    report.step("node", node);
    report.step("npm packages", npm_packages);
}

pub fn wasm_target() -> Result<wasm::Toolchain> {
    wasm::toolchain()
}

pub fn vulkan() -> Result<()> {
    tools::vulkan()
}

pub fn chromium() -> Result<()> {
    tools::chromium()
}

pub fn wasm_test_runner() -> Result<()> {
    tools::wasm_bindgen()?;
    tools::wasm_pack()
}

pub fn trunk() -> Result<()> {
    tools::trunk()
}

pub fn node() -> Result<()> {
    tools::node()
}

/// What the page is drawn with and tested with, as `web/package-lock.json` says.
pub fn npm_packages() -> Result<()> {
    tools::npm_packages("web")
}

/// The libraries that `bench-peers` compares with, as `tools/peers/package-lock.json` says.
pub fn peers() -> Result<()> {
    tools::npm_packages("tools/peers")
}
