//! Every shader, as it stands and at the ends of its specialisation, is valid WGSL within a browser's default limits.

use evenkeel_kernels::launch::{KERNELS, Kernel, Specialised, WIDE};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// WebGPU's defaults: maxStorageBuffersPerShaderStage, maxComputeInvocationsPerWorkgroup,
/// maxComputeWorkgroupStorageSize.
const MAX_STORAGE_BUFFERS: usize = 8;
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16 * 1024;

/// Lines of the longest shader that a reader can still take in.
const MOST_LINES: usize = 170;

/// Values of the `const` lines that the launchers use; the largest tiles are at head dimensions 64 and 128.
fn specialisations(kernel: &Kernel) -> Vec<Vec<(&'static str, u32)>> {
    let has = |constant: &str| kernel.source.contains(&format!("\nconst {constant} = "));
    match (has("HEAD_DIM"), has("LANES")) {
        (true, true) if kernel.name.contains("subgroup") => {
            [4, 8].into_iter().flat_map(|lanes| [4, 36, 128].map(|d| vec![("LANES", lanes), ("HEAD_DIM", d)])).collect()
        }
        (true, true) => [(16, 1), (16, 5), (16, 64), (8, 65), (8, 128)].map(|(block, d)| vec![("BLOCK", block), ("HEAD_DIM", d)]).to_vec(),
        (true, false) => [1, 128].map(|d| vec![("HEAD_DIM", d)]).to_vec(),
        _ if has("ROW_LANES") => {
            let other = [("A_TRANSPOSED", 1), ("B_TRANSPOSED", 0), ("ADDED", 0), ("FITS", 1)];
            [(4, 4), (8, 8), (8, 1)].map(|(lanes, rows)| [&[("LANES", lanes), ("ROW_LANES", rows)], &other[..]].concat()).to_vec()
        }
        _ if has("RUNS") => {
            let other = [("B_TRANSPOSED", 0), ("ADDED", 0), ("FITS", 1), ("EVEN", 1)];
            [(4, 2), (8, 3)].map(|(lanes, runs)| [&[("LANES", lanes), ("RUNS", runs)], &other[..]].concat()).to_vec()
        }
        _ if has("KEEP_MEAN") => vec![vec![("KEEP_MEAN", 1)]],
        _ if has("KL") => vec![vec![("KL", 1)]],
        _ if has("SIDE") => vec![vec![("SIDE", 8)]],
        _ => vec![],
    }
}

/// Subgroups are beyond WebGPU's defaults: only a file of that name, a variant behind a probe, may use them. That f32 is packed in halves
/// is among the defaults; naga asks because OpenGL cannot.
fn capabilities(name: &str) -> Capabilities {
    let default = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if name.contains("subgroup") { default | Capabilities::SUBGROUP } else { default }
}

fn check(name: &str, wgsl: &str) {
    let module = naga::front::wgsl::parse_str(wgsl).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(wgsl)));
    let info = Validator::new(ValidationFlags::all(), capabilities(name)).validate(&module);
    info.unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(wgsl)));

    assert_eq!(module.entry_points.len(), 1, "{name}: one entry point a file");
    let entry = &module.entry_points[0];
    assert_eq!(entry.name, "main", "{name}");
    let invocations: u32 = entry.workgroup_size.iter().product();
    assert!((1..=MAX_INVOCATIONS).contains(&invocations), "{name}: {invocations} invocations in a workgroup");

    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("a valid module has layouts");
    let mut bindings = vec![];
    let mut workgroup_bytes = 0;
    for (_, variable) in module.global_variables.iter() {
        match variable.space {
            naga::AddressSpace::Storage { access } => {
                let at = variable.binding.as_ref().expect("a storage buffer is bound");
                assert_eq!(at.group, 0, "{name}: everything is in group 0");
                let only_read = !access.contains(naga::StorageAccess::STORE);
                bindings.push((at.binding, variable.name.clone().unwrap_or_default(), only_read));
            }
            naga::AddressSpace::WorkGroup => workgroup_bytes += layouter[variable.ty].size,
            _ => {}
        }
    }
    assert!(bindings.len() <= MAX_STORAGE_BUFFERS, "{name}: {} storage buffers", bindings.len());
    assert!(workgroup_bytes <= MAX_WORKGROUP_BYTES, "{name}: {workgroup_bytes} bytes of workgroup memory");
    bindings.sort();
    for (i, (binding, variable, only_read)) in bindings.iter().enumerate() {
        assert_eq!(i as u32, *binding, "{name}: bindings count from 0 without a gap");
        let is_params = i + 1 == bindings.len();
        assert_eq!(variable == "params", is_params, "{name}: params is the last binding");
        // Tensors may share one wgpu buffer, which must not be bound for reading and for writing at once.
        assert_eq!(*only_read, is_params, "{name}: {variable} must be read_write, params read");
    }
}

#[test]
fn every_shader_is_valid_within_browser_limits() {
    for kernel in KERNELS {
        check(kernel.name, kernel.source);
        for consts in [vec![]].into_iter().chain(specialisations(kernel)) {
            check(&format!("{} {consts:?}", kernel.name), &Specialised::new(kernel, &consts).wgsl());
            if kernel.reads_kept() {
                check(&format!("{} {consts:?} in halves", kernel.name), &Specialised::new(kernel, &consts).halved(true).wgsl());
            }
            if kernel.has_words() {
                check(&format!("{} {consts:?} in wide words", kernel.name), &Specialised::new(kernel, &consts).with_words_of(WIDE).wgsl());
            }
        }
    }
}

#[test]
fn every_shader_is_short_and_has_a_header() {
    for kernel in KERNELS {
        assert!(kernel.source.lines().count() <= MOST_LINES, "{}: over {MOST_LINES} lines", kernel.name);
        assert!(kernel.source.starts_with("// "), "{}: no header", kernel.name);
        let twin_file = kernel.twin.split("::").next().expect("module::function");
        let header = kernel.source.lines().take_while(|line| line.starts_with("//")).collect::<String>();
        assert!(header.contains(&format!("src/reference/{twin_file}.rs")), "{}: the header names no twin", kernel.name);
    }
}
