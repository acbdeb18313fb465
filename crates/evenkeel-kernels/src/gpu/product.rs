//! Products of matrices: which form, which tiles, which parameters.

use burn::backend::wgpu::CubeTensor;

use super::or_unread;
use crate::backend::Form;
use crate::launch::{MATMUL_PANEL_SUBGROUP, MATMUL_SUBGROUP, MATMUL_TILED, Specialised, WIDE, launch, variant, width};

/// Lanes along an edge of a workgroup of the default product, each of which owns 4 × 4 numbers; and where the larger ones would be so few that
/// they leave a GPU idle.
const MATMUL_SIDE: usize = 16;
const SMALL_MATMUL_SIDE: usize = 8;
const FEW_TILES: usize = 64;
/// Numbers along an edge of the block that a lane of a product owns.
const MATMUL_BLOCK: usize = 4;

/// Steps of k of a run of a panel, and most runs of one: what the first cache of a CPU holds.
const PANEL_RUN: usize = 32;
const PANEL_RUNS: usize = 4;
/// Rows for which a panel is filled: enough to pay for it, but no more than leave work for this many cores.
const PANEL_LEAST_ROWS: usize = 64;
const PANEL_MOST_ROWS: usize = 1024;
const PANEL_GROUPS: usize = 16;

/// What is added to a product beside its bias.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is not kept")]
pub(super) enum Added {
    Nothing,
    /// [M,N]
    Matrix(CubeTensor),
    /// What out holds.
    Out,
}

/// out [M,N] = a b (+ bias) (+ what is added).
pub(super) struct Product {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) form: Form,
    /// Numbers from row to row of a and b as they are stored.
    pub(super) stored: [usize; 2],
    /// Numbers from row to row of out and residual.
    pub(super) pitch: usize,
}

impl Product {
    pub(super) fn of(a: &CubeTensor, b: &CubeTensor, form: Form) -> Self {
        let [[a_rows, a_columns], [b_rows, b_columns]] = [a, b].map(|x| x.meta.shape().dims());
        let (m, k) = if form.a_transposed { (a_columns, a_rows) } else { (a_rows, a_columns) };
        let n = if form.b_transposed { b_rows } else { b_columns };
        Self { m, n, k, form, stored: [a_columns, b_columns], pitch: n }
    }

    pub(super) fn launch(&self, a: &CubeTensor, b: &CubeTensor, bias: Option<CubeTensor>, added: Added, out: &CubeTensor) {
        let has_bias = u32::from(bias.is_some());
        let (residual, is_added) = match added {
            Added::Nothing => (None, 0),
            Added::Matrix(residual) => (Some(residual), 1),
            Added::Out => (None, 2),
        };
        let [bias, residual] = [bias, residual].map(|x| or_unread(x, a));
        let has = [has_bias, is_added];
        let (kernel, [rows, columns], params) = match variant().subgroup_lanes() {
            // Between two panels out holds sums of its own.
            Some(lanes) if self.suits_panels(lanes) && is_added != 2 => self.panel(lanes, has),
            Some(lanes) if self.is_wide() => self.subgroup(lanes, has),
            _ => self.tiled(has),
        };
        let groups = self.m.div_ceil(rows) * self.n.div_ceil(columns);
        launch(kernel, groups, &[a, b, &bias, &residual, out], &params);
    }

    /// Whether every row, as it is stored, begins at a word.
    fn is_wide(&self) -> bool {
        let [a, b] = self.stored;
        width(&[a, b, self.pitch]) == WIDE
    }

    /// Whether there are rows enough to fill a panel for, and columns enough for its lanes.
    fn suits_panels(&self, lanes: u32) -> bool {
        self.is_wide() && !self.form.a_transposed && self.m >= PANEL_LEAST_ROWS && self.n >= 2 * MATMUL_BLOCK * lanes as usize
    }

    fn panel(&self, lanes: u32, [has_bias, is_added]: [u32; 2]) -> (Specialised, [usize; 2], Vec<u32>) {
        let columns = 2 * MATMUL_BLOCK * lanes as usize;
        // As few steps as can be beyond K.
        let panels = self.k.div_ceil(PANEL_RUN * PANEL_RUNS);
        let runs = self.k.div_ceil(panels).div_ceil(PANEL_RUN);
        let groups = PANEL_GROUPS.div_ceil(self.n.div_ceil(columns)).min(self.m / PANEL_LEAST_ROWS).max(self.m.div_ceil(PANEL_MOST_ROWS));
        let rows = self.m.div_ceil(groups);
        let kernel = Specialised::new(
            &MATMUL_PANEL_SUBGROUP,
            &[
                ("LANES", lanes),
                ("B_TRANSPOSED", u32::from(self.form.b_transposed)),
                ("ADDED", is_added),
                ("FITS", u32::from(self.pitch.is_multiple_of(columns))),
                ("EVEN", u32::from(self.k.is_multiple_of(PANEL_RUN * runs))),
                ("RUNS", runs as u32),
            ],
        );
        let [a, b] = self.stored.map(|stored| stored / WIDE);
        let sizes = [self.m, self.n, self.k, a, b, self.pitch / WIDE].map(|x| x as u32);
        (kernel, [rows, columns], [sizes.as_slice(), &[has_bias, rows as u32]].concat())
    }

    fn subgroup(&self, lanes: u32, [has_bias, is_added]: [u32; 2]) -> (Specialised, [usize; 2], Vec<u32>) {
        let row_lanes = if self.m <= MATMUL_BLOCK { 1 } else { lanes };
        let tile = [MATMUL_BLOCK * row_lanes as usize, 2 * MATMUL_BLOCK * lanes as usize];
        // A tile that is moved back must begin at a word of a's rows.
        let moves = !self.form.a_transposed || self.m.is_multiple_of(WIDE);
        // Where out is added to, no number may be computed twice.
        let fits = moves && is_added != 2 && self.m >= tile[0] && self.pitch >= tile[1];
        let kernel = Specialised::new(
            &MATMUL_SUBGROUP,
            &[
                ("LANES", lanes),
                ("ROW_LANES", row_lanes),
                ("A_TRANSPOSED", u32::from(self.form.a_transposed)),
                ("B_TRANSPOSED", u32::from(self.form.b_transposed)),
                ("ADDED", is_added),
                ("FITS", u32::from(fits)),
            ],
        );
        let [a, b] = self.stored.map(|stored| stored / WIDE);
        let sizes = [self.m, self.n, self.k, a, b, self.pitch / WIDE].map(|x| x as u32);
        (kernel, tile, [sizes.as_slice(), &[has_bias]].concat())
    }

    fn tiled(&self, has: [u32; 2]) -> (Specialised, [usize; 2], Vec<u32>) {
        let tiles = |side: usize| self.m.div_ceil(MATMUL_BLOCK * side) * self.n.div_ceil(MATMUL_BLOCK * side);
        let side = if tiles(MATMUL_SIDE) < FEW_TILES { SMALL_MATMUL_SIDE } else { MATMUL_SIDE };
        let strides = |transposed: bool, stored: usize| if transposed { [1, stored] } else { [stored, 1] };
        let (a, b) = (strides(self.form.a_transposed, self.stored[0]), strides(self.form.b_transposed, self.stored[1]));
        let sizes = [self.m, self.n, self.k, a[0], a[1], b[0], b[1], self.pitch].map(|x| x as u32);
        let kernel = Specialised::new(&MATMUL_TILED, &[("SIDE", side as u32)]);
        (kernel, [MATMUL_BLOCK * side; 2], [sizes.as_slice(), &has].concat())
    }
}
