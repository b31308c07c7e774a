// matmul_panel_columns: packs a block of a transposed matrix for matmul_panels, in float32: its columns are the block's
// rows.
//
//   panel[q,r] = a[DEPTH+4q … +3, COL+ROW+r], zeros past the SUMS rows
//
// out: panel (QUADS, WG) quads      in: a (SUMS, STRIDE)
// dispatch: x: ceil(QUADS * WG/4 / 64) groups, a thread for 4 x 4 values.  COL, ROW, STRIDE % 4 == 0. Columns past the
// end of a row hold anything: the product's rows there are never stored.
//
// uses: store

const WG: u32 = 256u; // spec: rows of the block
const WG4: u32 = WG / 4u;

struct Params { ROWS: u32, SUMS: u32, STRIDE: u32, COL: u32, ROW: u32, DEPTH: u32, QUADS: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> panel: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> a: array<Quad>;

fn load(k: u32, at: u32) -> vec4<f32> {
    return select(vec4<f32>(), unpack4(a[min(k, p.SUMS - 1u) * (p.STRIDE / 4u) + at]), k < p.SUMS);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    let q = gid.x / WG4;
    let r = gid.x % WG4;
    if q >= p.QUADS { return; }
    let at = min((p.COL + p.ROW) / 4u + r, p.STRIDE / 4u - 1u);
    let k = p.DEPTH + q * 4u;
    let k0 = load(k, at);
    let k1 = load(k + 1u, at);
    let k2 = load(k + 2u, at);
    let k3 = load(k + 3u, at);
    let to = q * WG + r * 4u;
    panel[to] = vec4<f32>(k0.x, k1.x, k2.x, k3.x);
    panel[to + 1u] = vec4<f32>(k0.y, k1.y, k2.y, k3.y);
    panel[to + 2u] = vec4<f32>(k0.z, k1.z, k2.z, k3.z);
    panel[to + 3u] = vec4<f32>(k0.w, k1.w, k2.w, k3.w);
}
