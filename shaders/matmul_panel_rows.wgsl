// matmul_panel_rows: packs a block of a matrix for matmul_panels, in float32: quads along a row, rows side by side.
//
//   panel[q,r] = a[ROW+r, COL+DEPTH+4q … +3], zeros past the matrix
//
// out: panel (QUADS, WG) quads      in: a (ROWS, STRIDE), columns [COL, COL+SUMS), zeros up to the next multiple of 4
// dispatch: x: ceil(QUADS/4 * WG / 64) groups, a thread for the 64 bytes of a cache's line.
// QUADS, COL, DEPTH, STRIDE % 4 == 0.
//
// uses: store

const WG: u32 = 256u; // spec: rows of the block
const LINE: u32 = 4u;

struct Params { ROWS: u32, SUMS: u32, STRIDE: u32, COL: u32, ROW: u32, DEPTH: u32, QUADS: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> panel: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> a: array<Quad>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    let q = gid.x / WG * 4u;
    let r = gid.x % WG;
    let row = p.ROW + r;
    if q >= p.QUADS { return; }
    for (var i = 0u; i < LINE; i++) { // unroll
        var v = vec4<f32>();
        if row < p.ROWS && p.DEPTH + (q + i) * 4u < p.SUMS {
            v = unpack4(a[(row * p.STRIDE + p.COL + p.DEPTH) / 4u + q + i]);
        }
        panel[(q + i) * WG + r] = v;
    }
}
